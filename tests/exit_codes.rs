//! Every exit code, produced by its situation with the real binary; and what is refused with which of them.
//!
//! Invariant: what a script relies on is the number, what a person relies on is the sentence; both are pinned here, and
//! that a refusal changed nothing is looked up in the world, not believed.

mod support;

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::pty::talk;
use support::{Ended, World, failover, lonely, step};

const GO: [&str; 4] = ["activate", "--on", "a", "--yes"];

fn one(steps: &[&str]) -> World {
    let world = World::new(&lonely(steps));
    world.lonely_site();
    world
}

/// What differs from run to run, taken out: folder, run, time, durations, digests.
fn plain(world: &World, text: &str) -> String {
    let mut text = text.replace(&world.dir.display().to_string(), "W");
    for run in world.runs() {
        text = text.replace(&run, "RUN");
    }
    text.lines()
        .map(|l| {
            let l = l.get(23..).filter(|r| r.starts_with(" - ")).map_or(l, |r| &r[3..]);
            let words = l.split(' ').map(|w| match w.trim_end_matches(['s', ',', ';']).parse::<f64>() {
                Ok(_) if w.contains('.') => "TIME".to_string(),
                _ if w.starts_with("pid") => "PID".into(),
                _ => w.to_string(),
            });
            words.collect::<Vec<_>>().join(" ")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn last(world: &World, ended: &Ended) -> String {
    plain(world, ended.out.lines().last().unwrap_or_default())
}

fn fails(code: u8, undo: &str) -> String {
    format!("name = \"Fails\"\nrun.sh = 'echo fails >>\"$w/$node/trace\"; exit {code}'\n{undo}\n")
}

fn on_a_terminal(world: &World, args: &[&str], answers: &[&str]) -> Ended {
    let mut answers = answers.iter();
    let mut seen = 0;
    talk(world, args, Duration::from_secs(30), move |screen| {
        // Each prompt ends so, and is answered once.
        let prompts = screen.matches("[?]:").count();
        if prompts == seen || !screen.trim_end().ends_with("[?]:\u{1b}[0m") {
            return None;
        }
        seen = prompts;
        answers.next().map(|a| format!("{a}\r").into_bytes())
    })
}

#[test]
fn zero_when_done_and_verified() {
    let world = World::new(&failover());
    let ended = world.hawiz(&GO).is(0);
    let wanted = "INFO - run ended: done and verified; exit 0; a: active; every step is done and verified; b: changed: Count [Done]";
    assert_eq!(last(&world, &ended), wanted);
    assert_eq!(ended.err, "");
    assert_eq!(world.trace("a"), ["count", "blind", "active"]);
}

#[test]
fn one_when_hawiz_itself_cannot_work() {
    let world = one(&[&step("First", "")]);
    let script = format!("ulimit -n 7; exec {} activate --on a --yes", env!("CARGO_BIN_EXE_hawiz"));
    let out = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&world.dir)
        .env_clear()
        .envs(world.environment())
        .output()
        .expect("sh");
    let err = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(
        (out.status.code(), err.as_str()),
        (Some(1), "error: cannot take over signals: Too many open files (os error 24)\n")
    );
    assert!(world.trace("a").is_empty() && world.runs().is_empty());
}

#[test]
fn two_for_wrong_usage_playbooks_and_values() {
    let world = one(&[&step("First", "")]);
    world.hawiz(&["activate", "--no-such-flag"]).is(2);
    let ended = world.hawiz(&["activate", "--on", "a", "--yes", "--set", "nothing"]).is(2);
    assert_eq!(ended.err, "error: `--set nothing` is not INPUT=VALUE\n");
    world.hawiz(&["activate", "--on", "nobody", "--yes"]).is(2);
    world.hawiz(&["run", "nothing", "--on", "a", "--yes"]).is(2);
    world.hawiz(&["activate", "--on", "a", "--yes", "--override", "x"]).is(2).says("`--override x` is not STEP=REASON");
    world.hawiz(&["activate", "--on", "a", "--yes", "--override", "x=y"]).is(2).says("`--override x`: that is no step");
    let first = "activate/go/first=y";
    world.hawiz(&["activate", "--on", "a", "--yes", "--override", first]).is(2).says("is no check with on-failure");
    world.hawiz(&["activate", "--on", "a", "--yes", "--attest", "b"]).is(2).says("the site has no node `b`");
    let ended = world.hawiz(&["resume"]).is(2);
    assert_eq!(ended.err, "error: there is no run that could be resumed\n");
    world.hawiz(&["resume", "../../etc"]).is(2);
    world.put("playbook.toml", "format = 1\ntitel = \"x\"\n");
    world.hawiz(&GO).is(2);
    assert!(world.runs().is_empty() && world.trace("a").is_empty());
}

#[test]
fn two_where_records_would_lie_below_what_the_plan_moves() {
    let world = one(&["name = \"Move\"\nrun.link = { path = \"{w}\", to = \"/elsewhere\" }"]);
    let inside = world.dir.join("w/state");
    let inside = inside.to_str().expect("a plain path");
    let ended = world.hawiz(&["activate", "--on", "a", "--yes", "--state-dir", inside]).is(2);
    let wanted = "error: hawiz's state directory, `W/w/state`, lies below `W/w`, which this plan moves\n  hint: name another with --state-dir, or `state` of the node in the site file";
    assert_eq!(plain(&world, &ended.err), wanted);
    assert!(!world.dir.join("w/state").exists());
}

#[test]
fn three_when_declined_before_anything_changed() {
    let world = one(&[&step("First", "")]);
    on_a_terminal(&world, &["activate", "--on", "a"], &["n"]).is(3);
    on_a_terminal(&world, &["activate", "--on", "a"], &["q"]).is(3);
    on_a_terminal(&world, &["activate", "--on", "a"], &["\u{4}"]).is(3);
    assert!(world.trace("a").is_empty() && !world.locked("a"));
}

#[test]
fn four_when_a_check_refuses() {
    let world = one(&["name = \"is ready\"\ncheck.sh = 'echo not today; exit 1'", &step("First", "")]);
    let ended = world.hawiz(&GO).is(4);
    assert_eq!(
        last(&world, &ended),
        "WARNING - run ended: not ready; nothing was changed; exit 4; because: is ready (a): not today; a: not changed"
    );
    assert!(world.trace("a").is_empty() && !world.locked("a"));
    world.hawiz(&["resume", "--yes"]).is(2);
}

#[test]
fn four_when_answers_are_missing_and_nothing_is_created() {
    let world = World::new(&failover().replace("stage = \"Go\"\n", "stage = \"Go\"\ngate = \"type\"\n"));
    let ended = world.hawiz(&GO).is(4);
    let said = plain(&world, &ended.err);
    let head = "error: there is no terminal, and these have no answer; nothing was run:\n  gate   activate/go  (type `a`; --yes never answers it)\n";
    assert!(said.starts_with(head), "{said}");
    // The file to fill in stands alone on stdout, so that it can be redirected.
    let said = plain(&world, &ended.out);
    assert!(said.starts_with("# answers for: hawiz activate\n"), "{said}");
    assert!(
        said.contains("\n[gates]\n\"activate/prepare\" = \"\"    # yes or no\n\"activate/go\" = \"\"    # type a"),
        "{said}"
    );
    assert!(!world.dir.join("here").exists() && !world.dir.join("state").exists());
    // Filled in, it serves; with a wrong word it declines; for other commands it is refused.
    let skeleton = &ended.out;
    let filled = skeleton.replace("\"activate/prepare\" = \"\"", "\"activate/prepare\" = \"yes\"");
    world.put("wrong.toml", &filled.replace("\"activate/go\" = \"\"", "\"activate/go\" = \"b\""));
    world.put("right.toml", &filled.replace("\"activate/go\" = \"\"", "\"activate/go\" = \"a\""));
    world.put("old.toml", &world_digest(&filled.replace("\"activate/go\" = \"\"", "\"activate/go\" = \"a\"")));
    world
        .hawiz(&["activate", "--on", "a", "--answers", "old.toml"])
        .is(4)
        .says("its commands have changed since the answers were written");
    assert!(world.runs().is_empty());
    world.hawiz(&["activate", "--on", "a", "--answers", "wrong.toml"]).is(6);
    world.fresh();
    world.hawiz(&["activate", "--on", "a", "--answers", "right.toml"]).is(0);
}

/// The same answers, written for other commands.
fn world_digest(answers: &str) -> String {
    let wrong = |l: &str| match l.split_once(" = ") {
        Some((gate, digest)) if gate.starts_with("\"activate/go") && digest.len() > 10 => format!("{gate} = \"0000\""),
        _ if l.starts_with("plan = ") => String::new(),
        _ => l.to_string(),
    };
    answers.lines().map(wrong).collect::<Vec<_>>().join("\n")
}

#[test]
fn yes_never_answers_a_manual_step_without_a_look() {
    let manual = "name = \"Cable\"\nmanual = \"plug it in\"\n";
    let world = one(&[&step("First", ""), manual]);
    world.hawiz(&GO).is(4).says("manual activate/go/cable");
    assert!(world.trace("a").is_empty() && world.runs().is_empty());
    world.put("answers.toml", "[manual]\n\"activate/go/cable\" = \"done\"\n");
    world.hawiz(&["activate", "--on", "a", "--yes", "--answers", "answers.toml"]).is(0);
}

#[test]
fn what_is_so_already_wants_no_answer_of_anybody() {
    let seen = "done.sh = 'grep -qsx blind \"$w/$node/trace\"'\nrun.sh = 'echo blind";
    let typed = failover().replace("stage = \"Go\"\n", "stage = \"Go\"\ngate = \"type\"\n");
    let world = World::new(&typed.replace("run.sh = 'echo blind", seen));
    world.put("right.toml", "[gates]\n\"activate/prepare\" = \"yes\"\n\"activate/go\" = \"a\"\n");
    world.hawiz(&["activate", "--on", "a", "--answers", "right.toml"]).is(0);
    let done = world.trace("a");
    world.hawiz(&["activate", "--on", "a"]).is(0);
    assert_eq!(world.trace("a"), done);
}

#[test]
fn four_where_there_is_no_room_for_the_journal() {
    let world = one(&[&step("First", "")]);
    world.put("file", "");
    let below = world.dir.join("file/state");
    world.hawiz(&["activate", "--on", "a", "--yes", "--state-dir", below.to_str().expect("a plain path")]).is(4);
    limited(&world, 2).is(4).says("nothing was changed");
    assert!(world.trace("a").is_empty());
}

/// hawiz with a limit for every file it writes, in KiB, as a disk that fills up would be.
fn limited(world: &World, kib: u32) -> Ended {
    let script =
        format!("trap '' XFSZ; ulimit -f {}; exec {} activate --on a --yes", kib * 2, env!("CARGO_BIN_EXE_hawiz"));
    let out = Command::new("sh")
        .args(["-c", &script])
        .current_dir(&world.dir)
        .env_clear()
        .envs(world.environment())
        .output()
        .expect("sh");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: out.status.code(), signal: None, out: text(&out.stdout), err: text(&out.stderr) }
}

#[test]
fn six_when_the_journal_fills_up_after_a_change_and_resume_goes_on() {
    let chatty = "name = \"Chatty\"\nshow = true\ncheck.sh = 'head -c 30000 /dev/zero | tr \"\\0\" x'\n";
    let world = one(&[&step("First", ""), chatty, &step("Last", "")]);
    let ended = limited(&world, 16).is(6).says("cannot write the journal");
    assert!(
        last(&world, &ended).contains("go on: hawiz resume RUN")
            || squeezed(&last(&world, &ended)).contains("go on: hawiz resume RUN")
    );
    assert_eq!(world.trace("a"), ["first"]);
    assert!(!world.locked("a"));
    world.hawiz(&["resume", "--yes"]).is(0);
    assert_eq!(world.trace("a"), ["first", "last"]);
}

/// Held by another hawiz until it is let go.
struct Holder(std::process::Child);

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A world whose node is in the middle of a step of another run.
fn held(undo: &str) -> (World, Holder) {
    let waits = format!(
        "name = \"Waits\"\nrun.sh = 'echo waits >>\"$w/$node/trace\"; n=0; while [ ! -e \"$w/go\" ] && [ $n -lt 400 ]; do sleep 0.05; n=$((n + 1)); done'\n{undo}\n"
    );
    let world = one(&[&step("First", ""), &waits]);
    let child =
        world.command(&GO).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("hawiz was built for this test");
    let holder = Holder(child);
    let began = Instant::now();
    while world.trace("a").len() < 2 {
        assert!(began.elapsed() < Duration::from_secs(20), "it never begins");
        std::thread::sleep(Duration::from_millis(10));
    }
    (world, holder)
}

#[test]
fn five_when_another_run_holds_the_node_and_who_it_is() {
    let (world, mut holder) = held("undo.none = \"nothing\"");
    let first = world.runs();
    let ended = world.hawiz(&["activate", "--on", "a", "--yes", "--state-dir", "elsewhere"]).is(5);
    let said = ended.out.lines().last().expect("it ends");
    assert!(
        said.contains("exit 5; because: a is held by another run: ") && said.contains(&format!("run {}", first[0])),
        "{said}"
    );
    assert!(
        said.contains("when that run is really gone:  hawiz --state-dir elsewhere unlock NODE --reason TEXT"),
        "{said}"
    );
    let ended = world.hawiz(&["activate", "--on", "a", "--dryrun", "--state-dir", "elsewhere"]).is(5);
    assert!(ended.out.contains(&format!("run {}", first[0])), "{}", ended.out);
    // The run itself cannot be worked on by two.
    world.hawiz(&["resume", &first[0], "--yes"]).is(5).says("another hawiz works on run");
    world.put("w/go", "");
    assert!(holder.0.wait().expect("it is ours").success());
    assert_eq!(world.trace("a"), ["first", "waits"]);
}

#[test]
fn a_lock_whose_run_is_gone_is_broken_with_a_reason_and_the_old_run_is_not_resumed_over_a_later_one() {
    let (world, holder) = held("undo.none = \"nothing\"");
    let first = world.runs().pop().expect("there is one");
    drop(holder);
    world.hawiz(&GO).is(5);
    world.hawiz(&["unlock", "a"]).is(2);
    world.hawiz(&["unlock", "a", "--reason", " "]).is(2);
    // Its step runs still: what is to become of it must be said.
    let ended = world.hawiz(&["unlock", "a", "--reason", "its host burnt down"]).is(4);
    assert!(ended.err.contains("still runs on a; nothing was changed") && world.locked("a"), "{}", ended.err);
    world.hawiz(&["unlock", "a", "--reason", "x", "--wait", "--stop"]).is(2);
    let ended = world.hawiz(&["unlock", "a", "--reason", "its host burnt down", "--stop"]).is(0);
    assert!(ended.out.starts_with("a is unlocked; it was held by ") && ended.out.contains(&first), "{}", ended.out);
    assert_eq!(world.hawiz(&["unlock", "a", "--reason", "again"]).is(0).out, "a is not locked\n");
    world.put("w/go", "");
    world.hawiz(&GO).is(0);
    world.hawiz(&["resume", &first, "--yes"]).is(4).says("has changed the same nodes since");
    world.hawiz(&["rollback", &first, "--yes"]).is(4).says("has changed the same nodes since");
}

#[test]
fn six_when_it_failed_after_a_change_and_resume_keeps_its_values() {
    let world = one(&[&step("First", ""), &fails(3, "undo.none = \"nothing\"")]);
    let ended = world.hawiz(&["activate", "--on", "a", "--yes", "--set", "v=one two"]).is(6);
    let wanted = "ERROR - run ended: failed; what was changed stands, and it can be gone on with; exit 6; because: Fails (a): exit 3; a: changed: First, Fails; next: go on: hawiz resume RUN; next: take back: hawiz rollback RUN; next: look: hawiz show RUN [Failed]";
    assert_eq!(squeezed(&last(&world, &ended)), wanted);
    let ended = world.hawiz(&["resume", "--yes", "--set", "v=three"]).is(2);
    assert_eq!(
        ended.err,
        "error: `--set v=three` differs from the run's own value, `one two`\n  hint: a resumed run keeps its values; start anew for other ones\n"
    );
    world.hawiz(&["resume", "--yes", "--set", "x=1"]).is(2).says("the run has no input `x`");
    world.hawiz(&["resume"]).is(4).says("gate   activate/go");
    world.put("no.toml", "[gates]\n\"activate/go\" = \"no\"\n");
    world.hawiz(&["resume", "--answers", "no.toml"]).is(6).says("answered no by answers");
    world.hawiz(&["resume", "--yes", "--set", "v=one two"]).is(6);
    assert_eq!(world.trace("a"), ["first", "fails", "fails"]);
    world.hawiz(&["rollback"]).is(4).says("`--yes` accepts it");
}

#[test]
fn what_a_later_step_took_back_is_not_expected_to_be_so_when_the_run_is_resumed() {
    let start = |more: &str| {
        format!(
            "name = \"Start\"\n{more}\nrun.sh = '''\necho start >>\"$w/$node/trace\"\nrm -f \"$w/$node/stop\"\n'''\n\
             done.not.sh = 'test -e \"$w/$node/stop\"'\nundo.none = \"nothing\"\n"
        )
    };
    let broken = fails(3, "undo.none = \"nothing\"");
    let world = one(&[&step("Stop", ""), &start(""), &broken]);
    world.hawiz(&["activate", "--on", "a", "--yes"]).is(6);
    world.hawiz(&["resume", "--yes"]).is(6).says("`Stop` was so on a, but is no longer");
    assert_eq!(world.trace("a"), ["stop", "start", "fails"]);

    let world = one(&[&step("Stop", ""), &start("reverses = \"go/stop\""), &broken]);
    world.hawiz(&["activate", "--on", "a", "--yes"]).is(6);
    world.hawiz(&["resume", "--yes"]).is(6).says("exit 3");
    assert_eq!(world.trace("a"), ["stop", "start", "fails", "fails"]);

    let world = one(&[&step("Stop", ""), &start("reverses = \"go/stopp\""), &broken]);
    world.hawiz(&["activate", "--on", "a", "--yes"]).is(2).says("`activate` has no step `go/stopp`").says("go/stop`");
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn six_when_dry_was_chosen_after_a_change_and_zero_before() {
    let playbook =
        lonely(&[&step("First", "")]) + "[[activate]]\nstage = \"More\"\n[[activate.step]]\n" + &step("Second", "");
    let world = World::new(&playbook);
    world.lonely_site();
    on_a_terminal(&world, &["activate", "--on", "a"], &["d"]).is(0);
    assert!(world.trace("a").is_empty());
    on_a_terminal(&world, &["activate", "--on", "a"], &["y", "d"]).is(6);
    assert_eq!(world.trace("a"), ["first"]);
}

#[test]
fn seven_when_nobody_knows_and_a_resume_does_not_repeat_it() {
    // The step kills the leader that would have kept its code.
    let killer = "name = \"Lost\"\nrun.sh = 'echo lost >>\"$w/$node/trace\"; kill -9 \"$(cut -d\" \" -f4 /proc/$$/stat)\"'\nundo.none = \"nothing\"\n";
    let world = one(&[killer]);
    let ended = world.hawiz(&GO).is(7);
    assert!(last(&world, &ended).contains("Lost (a): its outcome is not known: "), "{}", ended.out);
    world.hawiz(&["resume", "--yes"]).is(7);
    assert_eq!(world.trace("a"), ["lost"]);
}

#[test]
fn eight_when_an_optional_step_failed() {
    let world = one(&[&fails(1, "undo.none = \"nothing\"\non-failure = \"continue\""), &step("First", "")]);
    let ended = world.hawiz(&GO).is(8);
    let wanted = "WARNING - run ended: done, but optional steps failed; exit 8; a: active, but optional steps failed";
    assert_eq!(last(&world, &ended), wanted);
    assert_eq!(world.trace("a"), ["fails", "first"]);
}

#[test]
fn nine_when_rolled_back() {
    let world = one(&[&step("First", ""), &fails(3, "undo.sh = 'echo undo-fails >>\"$w/$node/trace\"'")]);
    world.hawiz(&GO).is(6);
    let ended = world.hawiz(&["rollback", "--yes"]).is(9);
    assert_eq!(last(&world, &ended), "WARNING - run ended: rolled back; exit 9; a: as it was before this run [Undone]");
    assert_eq!(world.trace("a"), ["first", "fails", "undo-fails", "undo-first"]);
    world.hawiz(&["rollback", "--yes"]).is(2).says("is left to undo");
    world.hawiz(&["resume", "--yes"]).is(2);
}

/// Undoing a deactivation makes its node active, so it asks what an activation asks before its exclusive change.
#[test]
fn a_roll_back_that_makes_a_node_active_takes_no_flag_for_a_word() {
    let with = |gate: &str| {
        let world = World::new("");
        let (stop, fails) = (step("Stop", ""), fails(3, "undo.none = \"nothing\""));
        let take = step("Active", "exclusive = true");
        world.playbook(&format!(
            "format = 1\ntitle = \"Two\"\n[inputs]\nw = {{}}\n[[inactive]]\nstage = \"Inactive\"\n[[inactive.step]]\nname = \"is not active\"\n\
             check.sh = 'test ! -e \"$w/$node/active\"'\n[[activate]]\nuse = \"takes\"\n[[takes]]\nstage = \"Take\"\n{gate}\n[[takes.step]]\n{take}\
             [[deactivate]]\nstage = \"Leave\"\n[[deactivate.step]]\n{stop}[[deactivate.step]]\n{fails}"
        ));
        world.hawiz(&["deactivate", "--on", "a", "--yes"]).is(6);
        world
    };
    let world = with("gate = \"type two masters\"");
    world.hawiz(&["rollback", "--yes"]).is(4).says("\"rollback\" = \"two masters\"");
    world.put("answers.toml", "[gates]\n\"rollback\" = \"a\"\n");
    world.hawiz(&["rollback", "--yes", "--answers", "answers.toml"]).is(4);
    assert_eq!(world.trace("a"), ["stop", "fails"]);
    world.put("answers.toml", "[gates]\n\"rollback\" = \"two masters\"\n");
    world
        .hawiz(&["rollback", "--answers", "answers.toml"])
        .is(9)
        .says("gate rollback: answered two masters by answers");
    assert_eq!(world.trace("a"), ["stop", "fails", "undo-stop"]);

    let plain = with("");
    plain.hawiz(&["rollback", "--yes"]).is(9).says("gate rollback: answered yes by yes-flag");
    let named = with("gate = \"type\"");
    named.hawiz(&["rollback", "--yes"]).is(4).says("\"rollback\" = \"a\"");
    // The other node is active meanwhile: no answer helps.
    named.put("w/b/active", "");
    named.put("answers.toml", "[gates]\n\"rollback\" = \"a\"\n");
    named.hawiz(&["rollback", "--answers", "answers.toml"]).is(6).says("b is active");
    assert_eq!(named.trace("a"), ["stop", "fails"]);
}

#[test]
fn ten_when_an_undo_failed_and_what_is_left_is_said() {
    let world = one(&[&step("First", ""), &fails(3, "undo.sh = 'test -e \"$w/mended\"'")]);
    world.hawiz(&GO).is(6);
    let ended = world.hawiz(&["rollback", "--yes"]).is(10);
    let said = last(&world, &ended);
    let wanted = "ERROR - run ended: stuck: an undo failed; exit 10; because: the undo of `Fails` failed; a: changed: First, Fails; next: an undo failed; these commands are left:; next: on a: w=W/w\\ntest -e \"$w/mended\"; next: on a: w=W/w\\nnode=a\\necho undo-first >>\"$w/$node/trace\"\\nrm -f \"$w/$node/first\" [Failed]";
    assert_eq!(said, wanted);
    assert_eq!(world.trace("a"), ["first", "fails"]);
    // A stuck run is gone on with by rolling back, however it is called.
    world.put("w/mended", "");
    world.hawiz(&["resume", "--yes"]).is(9);
    assert_eq!(world.trace("a"), ["first", "fails", "undo-first"]);
}

#[test]
fn check_dry_run_and_status_say_it_with_the_same_table() {
    let world = World::new(
        &(failover()
            + "[[status]]\nstage = \"State\"\n[[status.step]]\nname = \"counted\"\ncheck.sh = 'test -e \"$w/$node/count\"'\n"),
    );
    let ready = ["activate", "--on", "a", "--dryrun"];
    world.hawiz(&ready).is(0);
    world.hawiz(&["check", "--on", "a"]).is(0);
    world.hawiz(&["status"]).is(4).says("nobody is active");
    world.put("w/b/active", "");
    world.hawiz(&ready).is(4).says("b: ACTIVE: not so");
    world.hawiz(&["check", "--on", "a"]).is(4).says("not ready");
    world.hawiz(&["status"]).is(0).says("b is active");
    world.put("w/a/active", "");
    world.hawiz(&["status"]).is(4).says("SPLIT BRAIN");
    world.hawiz(&["activate", "--on", "a", "--dryrun", "--set", "x=1"]).is(2);
    fs::remove_file(world.dir.join("w/a/active")).expect("it was put there");
    // A node that cannot be entered.
    let site = fs::read_to_string(world.dir.join("hawiz.toml")).expect("it was written");
    world.put("hawiz.toml", &site.replace("[\"env\", \"NODE=a\", \"sh\"]", "[\"false\"]"));
    world.hawiz(&["status"]).is(7).says("b is active; cannot tell about a");
    world.put("hawiz.toml", &site.replace("[\"env\", \"NODE=b\", \"sh\"]", "[\"false\"]"));
    world.hawiz(&GO).is(4).says("cannot reach b");
    world.playbook(&failover().replace("on = \"all\"\n", ""));
    world.hawiz(&GO).is(4).says("vouch for it with --attest b");
    assert!(!world.dir.join("state").exists());
}

#[test]
fn a_dry_run_warns_of_no_point_of_no_return_that_lies_behind() {
    let stage = "[[activate]]\nstage = \"Burn\"\ndone.sh = 'test -e \"$w/$node/burnt\"'\n[[activate.step]]\nname = \"Burn it\"\n\
                 run.sh = 'echo burnt >\"$w/$node/burnt\"'\nno-return = \"it is ashes\"\n";
    let world = World::new(&(failover() + stage));
    let dry = ["activate", "--on", "a", "--dryrun"];
    world.hawiz(&dry).is(0).says("Point of no return: after \"Burn it\"");
    std::fs::write(world.dir.join("w/a/burnt"), "").expect("the folder is ours");
    let said = world.hawiz(&dry).is(0);
    assert!(said.out.contains("= the whole stage is so already") && !said.out.contains("no return"), "{}", said.out);
    assert!(said.out.contains(" · 1 so already\n"), "{}", said.out);
}

#[test]
fn a_stage_is_asked_where_it_stands_also_on_the_first_of_several() {
    let stage = "[[activate]]\nstage = \"Burn\"\non = \"one of all\"\ndone.sh = 'echo \"asked $node\"'\n[[activate.step]]\n\
                 name = \"Burn it\"\nrun.sh = \"exit 1\"\nundo.none = \"\"\n";
    let world = World::new(&(failover() + stage));
    world.hawiz(&[&GO[..], &["--output", "plain"]].concat()).is(0).says("asked a [Already]");
}

#[test]
fn a_dry_run_says_which_node_is_gone_and_which_keeps_no_record() {
    let world = World::new(&lonely(&["name = \"Change it\"\nrun.sh = 'true'\nundo.none = \"nothing changes\"\n"]));
    world.put("file", "");
    let dry = |via: &str| {
        let (dir, state) = (world.dir.display(), world.dir.join("file/state"));
        let inputs = format!("playbook = \"playbook.toml\"\n[inputs]\nw = \"{dir}/w\"\n");
        world.put("hawiz.toml", &format!("{inputs}[nodes.poor]\nvia = {via}\nstate = \"{}\"\n", state.display()));
        world.hawiz(&["activate", "--on", "poor", "--dryrun"])
    };
    let there = dry("[\"sh\"]").is(0);
    assert!(there.out.contains("\npoor keeps no record of steps and no lock:"), "{}", there.out);
    assert!(there.out.contains("\nReady, as far as can be told before the first change.\n"), "{}", there.out);
    let gone = dry("[\"sh\", \"-c\", \"exit 9\"]").is(4);
    assert!(gone.out.contains("\nNot ready: 1 node cannot be reached."), "{}", gone.out);
    assert!(!gone.out.contains("\nReady,"), "{}", gone.out);
}
