//! The operator's terminal, lent to a program of a step: real binary, real terminal, a node that is this machine.

mod support;

use std::time::Duration;
use support::pty::{talk, talk_to};
use support::{World, lonely, step};

const PATIENCE: Duration = Duration::from_secs(60);

/// Draws, reads a line, and makes it so; `^C` is its own.
const CONSOLE: &str = r#"name = "Console"
about = "It asks for a word."
tty = true
run.sh = '''
trap 'echo "not so fast"' INT
stty -echo
printf '\033[?25lword? '
until read -r word; do :; done
stty echo
case $word in
fail) exit 3 ;;
gone) kill -KILL $$ ;;
esac
printf %s "$word" >"$w/$node/console"
echo "{$word}"
'''
done.sh = 'test -e "$w/$node/console"'
undo.sh = 'rm -f "$w/$node/console"'
"#;

/// One node that is this machine.
fn world() -> World {
    let world = World::new(&lonely(&[CONSOLE, &step("Next", "")]));
    let dir = world.dir.display();
    world.put(
        "hawiz.toml",
        &format!(
            "playbook = \"playbook.toml\"\n[inputs]\nw = \"{dir}/w\"\n[nodes.a]\nlocal = true\nstate = \"{dir}/state/a\"\n"
        ),
    );
    world
}

/// Answers in turn: each is typed when its question stands at the end of the screen.
fn keys(mut turns: Vec<(&'static str, &'static str)>) -> impl FnMut(&str) -> Option<Vec<u8>> {
    turns.reverse();
    let mut seen = 0;
    move |screen| {
        let (question, answer) = turns.last()?;
        let at = screen[seen..].find(question)?;
        seen += at + question.len();
        let answer = answer.as_bytes().to_vec();
        turns.pop();
        Some(answer)
    }
}

fn console(world: &World) -> Option<String> {
    std::fs::read_to_string(world.dir.join("w/a/console")).ok()
}

const GATE: &str = "Continue?";
const MENU: &str = "What now?";

#[test]
fn a_program_asks_on_the_terminal_and_hawiz_goes_on_behind_it() {
    let world = world();
    let ran = talk(&world, &["activate"], PATIENCE, keys(vec![(GATE, "y\r"), ("word? ", "blue\r")])).is(0);
    let said = ran.says("It asks for a word.").says("your terminal, until it ends").says("{blue}");
    assert_eq!(console(&world).as_deref(), Some("blue"));
    assert_eq!(world.trace("a"), ["next"], "{}", said.out);
    // The cursor it hid is shown again.
    let hidden = said.out.find("\u{1b}[?25lword").expect("it was hidden");
    assert!(said.out[hidden..].contains("\u{1b}[?25h"), "{}", said.out);
    // It was echoing nothing while it read.
    assert!(!said.out.contains("word? blue"), "{}", said.out);
}

#[test]
fn an_interrupt_belongs_to_the_program_that_has_the_terminal() {
    let world = world();
    let turns = vec![(GATE, "y\r"), ("word? ", "\u{3}"), ("not so fast", "red\r")];
    talk(&world, &["activate"], PATIENCE, keys(turns)).is(0).says("{red}");
    assert_eq!((console(&world).as_deref(), world.trace("a")), (Some("red"), vec!["next".to_string()]));
}

#[test]
fn the_menu_works_after_a_program_that_left_the_terminal_in_a_bad_way() {
    let world = world();
    // It ends with an echo that is off again, by itself and by a signal; what it began is claimed once an attempt.
    let broken = CONSOLE.replace("stty echo", ":");
    world.playbook(&lonely(&[&broken, &step("Next", "")]));
    let turns = vec![
        (GATE, "y\r"),
        ("word? ", "fail\r"),
        (MENU, "r\r"),
        ("word? ", "gone\r"),
        (MENU, "?\r"),
        (MENU, "r\r"),
        ("word? ", "green\r"),
    ];
    let ran = talk(&world, &["activate"], PATIENCE, keys(turns)).is(0);
    ran.says("exit 3").says("it was ended by signal 9").says("{green}");
    assert_eq!(console(&world).as_deref(), Some("green"));
    let run = world.runs().pop().expect("there was one");
    let shown = world.hawiz(&["show", &run, "--output", "json"]).is(0);
    assert_eq!(shown.out.matches("\"step-intent\"").count(), 4, "{}", shown.out);
}

#[test]
fn a_program_that_is_stopped_where_nobody_could_wake_it_goes_on() {
    let world = world();
    let turns = vec![(GATE, "y\r"), ("word? ", "\u{1a}still\r")];
    talk(&world, &["activate"], PATIENCE, keys(turns)).is(0).says("{still}");
    assert_eq!(console(&world).as_deref(), Some("still"));
}

#[test]
fn a_program_and_hawiz_are_one_job_of_the_shell_above() {
    let world = world();
    let job = format!(
        "{} activate; echo \"[$?] in the shell\"; stty -a; fg; echo \"[$?] at the end\"",
        env!("CARGO_BIN_EXE_hawiz")
    );
    let turns = vec![(GATE, "y\r"), ("word? ", "\u{1a}"), ("at the end", ""), ("never", "")];
    let mut early = keys(turns);
    let mut woken = false;
    let ran = talk_to(&world, &["sh", "-mc", &job], PATIENCE, |screen| {
        // Behind `fg` the program reads on; what was typed for it in the shell was the shell's.
        let back = screen.find("in the shell").is_some_and(|at| screen[at..].contains("hawiz activate"));
        if back && !std::mem::replace(&mut woken, true) {
            return Some(b"awake\r".to_vec());
        }
        early(screen)
    });
    let ran = ran.is(0).says("[147] in the shell").says("[0] at the end").says("{awake}");
    // In the shell the terminal was as before: it echoes, and reads lines.
    let shell = &ran.out[ran.out.find("in the shell").expect("it was stopped")..];
    assert!(shell.contains(" echo ") && shell.contains(" icanon "), "{}", ran.out);
    assert_eq!(console(&world).as_deref(), Some("awake"));
}

#[test]
fn hawiz_that_has_to_leave_ends_the_program_and_a_resume_looks() {
    let world = world();
    // The program tells its parent, which is hawiz, to leave.
    let told = CONSOLE.replace("stty -echo", "kill -TERM $PPID; while :; do sleep 0.05; done");
    world.playbook(&lonely(&[&told, &step("Next", "")]));
    talk(&world, &["activate"], PATIENCE, keys(vec![(GATE, "y\r")])).is(6).says("had the terminal");
    assert!(world.locked("a"));
    std::fs::write(world.dir.join("w/a/console"), "by somebody").expect("the world's own folder");
    talk(&world, &["resume"], PATIENCE, keys(vec![(GATE, "y\r")])).is(0);
    assert_eq!(world.trace("a"), ["next"]);
}

#[test]
fn where_nobody_can_be_asked_a_resume_says_that_its_end_is_not_known() {
    let world = world();
    let told = CONSOLE.replace("stty -echo", "kill -TERM $PPID; while :; do sleep 0.05; done");
    world.playbook(&lonely(&[&told, &step("Next", "")]));
    talk(&world, &["activate"], PATIENCE, keys(vec![(GATE, "y\r")])).is(6).says("had the terminal");
    world.hawiz(&["resume", "--yes"]).is(6).says("its end is not known").says("it is not so now");
    assert!(world.trace("a").is_empty());
}

#[test]
fn without_a_terminal_it_is_refused_before_anything_is_run() {
    let world = world();
    let blind = CONSOLE.replace("done.sh", "verify.sh");
    world.playbook(&lonely(&[&blind, &step("Next", "")]));
    world.hawiz(&["activate", "--yes"]).is(4).says("manual activate/go/console");
    assert!(world.trace("a").is_empty());
}

#[test]
fn the_dry_run_says_whose_terminal_it_gets() {
    let world = world();
    world.hawiz(&["activate", "--dryrun"]).is(0).says("gets your terminal");
    world.lonely_site();
    world.hawiz(&["activate", "--on", "a", "--dryrun"]).is(0).says("by hand: no terminal reaches it");
    let turns = vec![
        ("by hand: no terminal reaches it", ""),
        (GATE, "y\r"),
        ("Run this there, on a terminal", ""),
        ("[q]uit", "q\r"),
    ];
    talk(&world, &["activate", "--on", "a"], PATIENCE, keys(turns)).is(6);
    assert_eq!(console(&world), None);
}

#[test]
fn where_no_record_is_kept_the_script_removes_itself() {
    let world = world();
    let dir = world.dir.display();
    world.put(
        "hawiz.toml",
        &format!(
            "playbook = \"playbook.toml\"\n[inputs]\nw = \"{dir}/w\"\n[nodes.a]\nlocal = true\nstate = \"/proc/none\"\n"
        ),
    );
    let listed =
        || std::fs::read_dir("/tmp").expect("there is one").flatten().map(|e| e.file_name()).collect::<Vec<_>>();
    let ours = |names: Vec<std::ffi::OsString>| {
        names.into_iter().filter(|n| n.to_string_lossy().starts_with("hawiz-") && n.len() == 22).count()
    };
    let before = ours(listed());
    talk(&world, &["activate"], PATIENCE, keys(vec![(GATE, "y\r"), ("word? ", "plain\r")])).is(0).says("{plain}");
    assert_eq!(console(&world).as_deref(), Some("plain"));
    assert!(ours(listed()) <= before);
}

#[test]
fn an_interrupt_in_a_step_is_not_shown_by_the_terminal_and_afterwards_it_is_again() {
    let world = World::new(&lonely(&[
        "name = \"Slow\"\nrun.sh = '''\n: >\"$w/begun\"\nsleep 2\n: >\"$w/$node/slow\"\n'''\n\
         done.sh = 'test -e \"$w/$node/slow\"'\nundo.none = \"nothing\"\n",
        &step("Next", ""),
    ]));
    world.lonely_site();
    let begun = world.dir.join("w/begun");
    let command = format!("trap : INT; {} activate --on a; echo \"[$?]\"; stty -a", env!("CARGO_BIN_EXE_hawiz"));
    let mut gate = keys(vec![(GATE, "y\r")]);
    let mut sent = false;
    let ran = talk_to(&world, &["sh", "-c", &command], PATIENCE, |screen| {
        gate(screen).or_else(|| (begun.exists() && !std::mem::replace(&mut sent, true)).then(|| b"\x03".to_vec()))
    });
    let ran = ran.says("[6]").says(" echoctl ");
    // `stty` names the key.
    let shown = ran.out.split("speed").next().expect("a split gives one at least");
    assert!(!shown.contains("^C"), "{}", ran.out);
    assert!(world.dir.join("w/a/slow").exists());
    assert!(world.trace("a").is_empty());
}
