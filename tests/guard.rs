//! The ownership record and the boot guard, without systemd: the very texts and the very script, under every shell that is
//! here. That systemd heeds it is shown in the lab (`lab/guard.rs`).

use hawiz::catalog::{Action, Check, Fill, Library, Recipe, Text, Texts, Undo};
use hawiz::shell::{Value, Word, definition};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// Fills `{node}` with a node's name.
struct On(&'static str);
impl Fill for On {
    fn word(&self, text: &Text) -> Result<Word, String> {
        Ok(Word::literal(text.0.replace("{node}", self.0)))
    }
    fn words(&self, texts: &Texts) -> Result<Vec<Word>, String> {
        texts.0.iter().map(|t| self.word(t)).collect()
    }
}

/// The text with the functions that it calls in front, as it is sent.
fn whole(text: &Value) -> String {
    let mut out: Vec<u8> = Library::read().of(text).iter().flat_map(|(name, body)| definition(name, body)).collect();
    out.extend_from_slice(&text.0);
    Value(out).lossy()
}
fn recipe(node: &'static str, source: &str) -> Recipe {
    let action: Action = toml::from_str(source).expect("an action");
    action.recipe(&On(node)).expect("compiles")
}
fn look(node: &'static str, source: &str) -> String {
    let check: Check = toml::from_str(source).expect("a check");
    whole(&check.look(&On(node)).expect("compiles"))
}
fn done(r: &Recipe) -> String {
    whole(r.done.as_ref().expect("it has a look"))
}
fn undo(r: &Recipe) -> String {
    match &r.undo {
        Undo::Run(text) => whole(text),
        Undo::None(why) => panic!("no undo: {why}"),
    }
}

fn shells() -> Vec<&'static [&'static str]> {
    let all: [&[&str]; 4] = [&["dash"], &["bash", "--posix"], &["busybox", "sh"], &["mksh"]];
    all.into_iter().filter(|argv| Command::new(argv[0]).args(["-c", "true"]).output().is_ok()).collect()
}

/// A folder of its own.
fn folder() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("guard-{}-{n}", std::process::id()));
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).expect("a folder");
    dir
}

/// What a text gives: its code, and all it said.
fn run(shell: &[&str], text: &str, before: Option<&str>) -> (Option<i32>, String) {
    let mut c = Command::new(shell[0]);
    c.args(&shell[1..]).arg("-euc").arg(text).stdin(Stdio::null()).env("LC_ALL", "C");
    if let Some(before) = before {
        c.env("before", before);
    }
    let out = c.output().expect("the shell runs");
    (out.status.code(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
}

/// What a look prints on stdout, which is an undo's `$before`.
fn before(shell: &[&str], text: &str) -> String {
    let out = Command::new(shell[0]).args(&shell[1..]).arg("-euc").arg(text).env("LC_ALL", "C").output().expect("runs");
    String::from_utf8(out.stdout).expect("text")
}

/// What is said, without the time of day.
fn timeless(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((front, back)) = rest.split_once("since ") {
        out += front;
        out += "since T";
        rest = back.get("2026-01-01 00:00:00 UTC".len()..).expect("a time stands there");
    }
    out + rest
}

fn machine() -> String {
    before(&["sh"], &whole(&"machine_id".into())).trim_end().to_owned()
}

#[test]
fn the_guard_says_yes_only_where_the_record_names_this_node_and_this_installation() {
    for shell in shells() {
        let dir = folder();
        fs::create_dir(dir.join("its folder")).expect("a folder");
        let at = |name: &str| dir.join("its folder").join(name).display().to_string();
        let owner = |text: String| fs::write(at("owner"), text).expect("writable");
        let ask = |record: &str, mount: &str| {
            let text = format!("guard_script xcat '{record}' mn1 '{mount}'");
            let script = before(shell, &whole(&text.as_str().into()));
            assert!(script.contains(" patience=30\n"), "{script}");
            fs::write(dir.join("guard"), script.replace("patience=30", "patience=1")).expect("writable");
            let mut c = Command::new(shell[0]);
            let out = c.args(&shell[1..]).arg(dir.join("guard")).output().expect("the shell runs");
            let said = String::from_utf8_lossy(&out.stdout).replace(&*dir.to_string_lossy(), "DIR");
            (out.status.code().expect("it ends"), said)
        };
        let machine = machine();
        let record = at("owner");

        owner(format!("# a word\nnode mn1\nmachine {machine}\nsince now\n"));
        assert_eq!(ask(&record, ""), (0, "mn1 owns xcat\n".into()), "{shell:?}");
        assert_eq!(ask(&record, "/proc"), (0, "mn1 owns xcat\n".into()), "{shell:?}: something is mounted on /proc");

        let refused = |said: &str| (1, format!("stays down{said}\n"));
        let nothing = "within 1 s: nothing is mounted on DIR. Start it again when the storage is there";
        assert_eq!(ask(&record, &dir.to_string_lossy()), refused(&format!(", no answer {nothing}")), "{shell:?}");
        owner(format!("node mn2\nmachine {machine}\nsince yesterday\n"));
        let other = ": mn2 owns xcat since yesterday (DIR/its folder/owner). To have it here: hawiz failover --to mn1";
        assert_eq!(ask(&record, ""), refused(other), "{shell:?}");
        owner("node mn1\nmachine 0123\n".into());
        let anew =
            ": another installation of mn1 owns xcat (DIR/its folder/owner). To start it here: hawiz activate --on mn1";
        assert_eq!(ask(&record, ""), refused(anew), "{shell:?}");
        let nobody = ": nobody owns xcat (DIR/its folder/owner). To have it here: hawiz failover --to mn1";
        for text in ["", "\n", "mn1\n", "node\n", "# node mn1\n"] {
            owner(text.into());
            assert_eq!(ask(&record, ""), refused(nobody), "{shell:?}: {text:?}");
        }
        owner(format!("node mn1\nmachine {machine}\nnode mn2\nmachine {machine}\n"));
        assert_eq!(ask(&record, "").0, 1, "{shell:?}: two names");

        let gone = ": nobody owns xcat, there is no DIR/its folder/gone. To start it here: hawiz activate --on mn1";
        assert_eq!(ask(&at("gone"), ""), refused(gone), "{shell:?}");
        let silent = |path: &str| {
            let why = format!("within 1 s: {path} does not answer. Start it again when the storage is there");
            refused(&format!(", no answer {why}"))
        };
        let far = dir.join("no folder/owner").display().to_string();
        assert_eq!(ask(&far, ""), silent("DIR/no folder/owner"), "{shell:?}: the storage is not there");
        // Nobody ever writes into it: opening it takes for ever, as a file of a dead server's does.
        let fifo = at("hung");
        assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
        assert_eq!(ask(&fifo, ""), silent("DIR/its folder/hung"), "{shell:?}: a record that hangs");
        assert_eq!(ask(&at(""), "").0, 1, "{shell:?}: a folder can't be read as a record");
        fs::remove_dir_all(dir).expect("ours");
    }
}

#[test]
fn ownership_is_written_withdrawn_and_brought_back_but_never_taken_from_another_node() {
    for shell in shells() {
        let dir = folder();
        let path = dir.join("shared/.hawiz/owner");
        let here = |word: &str| format!("{word} = {{ record = \"{}\" }}", path.display());
        let read = || fs::read_to_string(&path).map(|t| timeless(&t)).unwrap_or_else(|_| "none".into());
        let text = |node: &str| {
            let head = "# Who owns the system whose data lies here. Elsewhere the boot guard keeps it down.";
            format!("{head}\nnode {node}\nmachine {}\nsince T\n", machine())
        };
        let ok = |(code, said): (Option<i32>, String)| assert_eq!(code, Some(0), "{shell:?}: {said}");
        let [own1, own2] = ["mn1", "mn2"].map(|n| recipe(n, &here("own")));
        let [disown1, disown2] = ["mn1", "mn2"].map(|n| recipe(n, &here("disown")));
        let owns = |node: &'static str| {
            let (code, said) = run(shell, &look(node, &here("owns")), None);
            (code.expect("it ends"), said.lines().last().unwrap_or_default().to_owned())
        };

        let nobody = format!("nobody owns the system, by {}", path.display());
        assert_eq!(owns("mn1"), (1, nobody), "{shell:?}");
        assert_eq!(run(shell, &done(&disown1), None).0, Some(0), "{shell:?}: nobody is not mn1");
        let nothing = before(shell, &done(&own1));
        assert_eq!(nothing, "absent\n");
        assert!(!dir.join("shared").exists(), "{shell:?}: a look makes nothing");

        ok(run(shell, &whole(&own1.run), None));
        assert_eq!(read(), text("mn1"), "{shell:?}");
        let left = fs::read_dir(path.parent().expect("a folder")).expect("readable").count();
        assert_eq!(left, 1, "{shell:?}: nothing else is left there");
        assert_eq!(owns("mn1"), (0, "mn1 owns the system".into()), "{shell:?}");
        assert_eq!(owns("mn2"), (1, "mn1 owns the system".into()), "{shell:?}");

        // mn2 takes over; taken back, mn1 is the owner again.
        let was = before(shell, &done(&own2));
        ok(run(shell, &whole(&own2.run), None));
        assert_eq!(read(), text("mn2"), "{shell:?}");
        ok(run(shell, &undo(&own2), Some(&was)));
        assert_eq!(read(), text("mn1"), "{shell:?}");
        // What mn1 once did is not taken back once mn2 is the owner.
        ok(run(shell, &whole(&own2.run), None));
        ok(run(shell, &undo(&own1), Some(&nothing)));
        assert_eq!(read(), text("mn2"), "{shell:?}");
        let was_1 = format!("present\n{}", text("mn1"));
        ok(run(shell, &undo(&disown1), Some(&was_1)));
        assert_eq!(read(), text("mn2"), "{shell:?}");

        let was = before(shell, &done(&disown2));
        assert_eq!(run(shell, &done(&disown2), None).0, Some(1), "{shell:?}");
        ok(run(shell, &whole(&disown2.run), None));
        assert_eq!(read(), "none", "{shell:?}");
        // Nothing is written in another node's name where nobody owns it any more.
        ok(run(shell, &undo(&own2), Some(&was_1)));
        assert_eq!(read(), "none", "{shell:?}");
        ok(run(shell, &undo(&disown2), Some(&was)));
        assert_eq!(read(), text("mn2"), "{shell:?}");
        ok(run(shell, &undo(&own2), Some(&nothing)));
        assert_eq!(read(), "none", "{shell:?}");

        // While nothing is mounted there, nobody can tell, and nothing is written.
        let mount = format!("own = {{ record = \"{}\", mount = \"{}\" }}", path.display(), dir.display());
        let on_mount = recipe("mn1", &mount);
        let said = format!("{} is not a mount point: nobody can tell who owns the system\n", dir.display());
        assert_eq!(run(shell, &done(&on_mount), None), (Some(126), said.clone()), "{shell:?}");
        assert_eq!(run(shell, &whole(&on_mount.run), None), (Some(126), said), "{shell:?}");
        assert_eq!(read(), "none", "{shell:?}");
        fs::remove_dir_all(dir).expect("ours");
    }
}

#[test]
fn where_systemd_did_not_boot_the_node_there_is_no_guard_and_it_says_so() {
    if Path::new("/run/systemd/system").exists() {
        eprintln!("SKIPPED: systemd has booted this machine");
        return;
    }
    let guard = r#"{ name = "xcat", units = ["xcatd"], record = "/HA/.hawiz/owner" }"#;
    let why =
        "no boot guard can be had here, without systemd: what is enabled starts whoever owns the system\n".to_string();
    for shell in shells() {
        // 3: there is nothing to do, and why.
        let install = recipe("mn1", &format!("boot-guard = {guard}"));
        assert_eq!(run(shell, &done(&install), None), (Some(3), why.clone()), "{shell:?}");
        let check = look("mn1", &format!("boot-guarded = {guard}"));
        assert_eq!(run(shell, &check, None), (Some(1), why.clone()), "{shell:?}");
    }
}

/// A `/etc` of its own and a systemd that was asked: mysql is an alias, postgresql has a template, dhcpd is not there.
const SYSTEMCTL: &str = r#"#!/bin/sh
case $* in
'show -p Id mysql.service') echo Id=mariadb.service ;;
'show -p Id '*) echo "Id=$4" ;;
'show -p LoadState -p Requires dhcpd.service') printf 'LoadState=not-found\nRequires=\n' ;;
'show -p LoadState -p Requires '*)
  printf 'LoadState=loaded\nRequires=sysinit.target'
  if grep -qx "$6" "$WORLD/read"; then printf ' hawiz-guard-xcat.service'; fi
  echo ;;
'list-unit-files --no-legend --no-pager postgresql@.service') echo 'postgresql@.service indirect enabled' ;;
'list-unit-files '*) ;;
daemon-reload)
  for f in /etc/systemd/system/*.d/*.conf; do f=${f%.d/*}; echo "${f##*/}"; done >"$WORLD/read" ;;
*) echo "systemctl $*?" >&2; exit 9 ;;
esac
"#;

/// Runs a text where /etc is `dir`'s and systemd seems to run; `None` where namespaces are not permitted.
fn as_booted(dir: &Path, shell: &[&str], text: &str, before: Option<&str>) -> Option<(Option<i32>, String, String)> {
    if !dir.join("etc").exists() {
        for (name, text) in [("systemctl", SYSTEMCTL), ("systemd-escape", "#!/bin/sh\necho HA.mount\n")] {
            let path = dir.join("bin").join(name);
            fs::create_dir_all(dir.join("bin")).expect("a folder");
            fs::write(&path, text).expect("writable");
            assert!(Command::new("chmod").arg("+x").arg(&path).status().expect("runs").success());
        }
        fs::create_dir_all(dir.join("etc/systemd/system")).expect("a folder");
        fs::write(dir.join("read"), "").expect("writable");
        // Programs may be found through it.
        let _ = Command::new("cp").args(["-a", "/etc/alternatives"]).arg(dir.join("etc")).output();
    }
    let inside = "mount -t tmpfs none /run && mkdir -p /run/systemd/system && mount --bind \"$WORLD/etc\" /etc || exit 77\n\
                  PATH=$WORLD/bin:$PATH; exec \"$@\"";
    let mut c = Command::new("unshare");
    c.args(if rustix::process::geteuid().is_root() { ["-m", "--"] } else { ["-rm", "--"] });
    c.args(["sh", "-c", inside, "sh"]).args(shell).arg("-euc").arg(text);
    c.env("WORLD", dir).env("LC_ALL", "C").stdin(Stdio::null());
    if let Some(before) = before {
        c.env("before", before);
    }
    let out = c.output().ok()?;
    let [said, err] = [&out.stdout, &out.stderr].map(|b| String::from_utf8_lossy(b).into_owned());
    let none = out.status.code() == Some(77) || err.contains("unshare failed") || err.contains("unshare:");
    if none { None } else { Some((out.status.code(), said, err)) }
}

fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut todo = vec![dir.join("etc/hawiz"), dir.join("etc/systemd/system")];
    while let Some(folder) = todo.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.path().is_dir() {
                true => todo.push(entry.path()),
                false => {
                    let path = entry.path();
                    found.push(path.strip_prefix(dir).expect("below it").display().to_string());
                }
            }
        }
    }
    found.sort();
    found
}

const ALL: &str = r#"boot-guard = { name = "xcat", units = ["xcatd", "mysql", "dhcpd", "postgresql", "ha.target"], record = "/HA/.hawiz/owner", mount = "/HA" }"#;
const FEW: &str = r#"boot-guard = { name = "xcat", units = ["xcatd", "named"], record = "/HA/.hawiz/owner" }"#;

#[test]
fn a_guard_is_installed_once_found_again_changed_and_taken_away_to_the_last_file() {
    for shell in shells() {
        let dir = folder();
        let booted = |text: &str, before: Option<&str>| as_booted(&dir, shell, text, before);
        let [all, few] = [ALL, FEW].map(|source| recipe("mn1", source));
        let Some((code, found, said)) = booted(&done(&few), None) else {
            eprintln!("SKIPPED, no namespaces here: the boot guard's files under {shell:?}");
            continue;
        };
        let none = "the boot guard of xcat is not installed, or not for all of these\n".to_string();
        assert_eq!((code, found.as_str(), said), (Some(1), "", none.clone()), "{shell:?}");
        assert_eq!(files(&dir), [""; 0]);
        let ok = |text: &str, before: Option<&str>| {
            let (code, out, err) = booted(text, before).expect("it could be done just now");
            assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "", ""), "{shell:?}");
        };

        ok(&whole(&few.run), None);
        let (code, first, said) = booted(&done(&few), None).expect("as just now");
        assert_eq!((code, said.as_str()), (Some(0), "the boot guard of xcat stands before xcatd named\n"), "{shell:?}");
        let scripts = ["etc/hawiz/guard/xcat", "etc/systemd/system/hawiz-guard-xcat.service"];
        let drop_in = |unit: &str| format!("etc/systemd/system/{unit}.d/50-hawiz-guard-xcat.conf");
        let with = |units: &[&str]| -> Vec<String> {
            let mut all: Vec<String> =
                scripts.iter().map(|s| s.to_string()).chain(units.iter().map(|u| drop_in(u))).collect();
            all.sort();
            all
        };
        assert_eq!(files(&dir), with(&["named.service", "xcatd.service"]), "{shell:?}");

        // Other units, and a mount: what stands there is not what is wanted.
        let (code, was, said) = booted(&done(&all), None).expect("as just now");
        assert_eq!((code, &was, said), (Some(1), &first, none.clone()), "{shell:?}");
        ok(&whole(&all.run), None);
        assert_eq!(booted(&done(&all), None).expect("as just now").0, Some(0), "{shell:?}");
        let units = [
            "dhcpd.service",
            "ha.target",
            "mariadb.service",
            "postgresql.service",
            "postgresql@.service",
            "xcatd.service",
        ];
        assert_eq!(files(&dir), with(&units), "{shell:?}");
        let read = |path: &str| fs::read_to_string(dir.join(path)).expect("it is there");
        assert_eq!(
            read(&drop_in("postgresql@.service")),
            "# Starts only where this node owns xcat.\n[Unit]\nRequires=hawiz-guard-xcat.service\n\
             After=hawiz-guard-xcat.service\n"
        );
        assert_eq!(
            read(scripts[1]),
            "# hawiz's boot guard of xcat: what only the owner runs requires it. Each start asks anew.\n[Unit]\n\
             Description=hawiz boot guard: does this node own xcat?\nAssertFileNotEmpty=/etc/hawiz/guard/xcat\n\
             StartLimitIntervalSec=0\nAfter=HA.mount\n[Service]\nType=oneshot\n\
             ExecStart=/bin/sh /etc/hawiz/guard/xcat\nTimeoutStartSec=60\nTimeoutStopSec=5\n"
        );
        assert!(read(scripts[0]).contains("\nrecord='/HA/.hawiz/owner'\nnode='mn1'\nmount='/HA'\n"), "{shell:?}");
        let check = look("mn1", &ALL.replace("boot-guard", "boot-guarded"));
        assert_eq!(booted(&check, None).expect("as just now").0, Some(0), "{shell:?}");

        // Somebody has emptied the script; or systemd has not read the files since.
        fs::write(dir.join(scripts[0]), "").expect("writable");
        assert_eq!(booted(&check, None).expect("as just now").0, Some(1), "{shell:?}");
        ok(&whole(&all.run), None);
        fs::write(dir.join("read"), "xcatd.service\n").expect("writable");
        let (code, _, said) = booted(&check, None).expect("as just now");
        assert_eq!((code, said.as_str()), (Some(1), "mariadb.service does not require the guard yet\n"), "{shell:?}");

        ok(&undo(&all), Some(&was));
        assert_eq!(files(&dir), with(&["named.service", "xcatd.service"]), "{shell:?}");
        assert_eq!(
            booted(&done(&few), None).expect("as just now").1,
            first,
            "{shell:?}: what was there, to the letter"
        );
        ok(&undo(&few), Some(""));
        assert_eq!(files(&dir), [""; 0], "{shell:?}");
        let left = fs::read_dir(dir.join("etc/systemd/system")).expect("the folder stays").count();
        assert_eq!(left, 0, "{shell:?}: no empty folder is left");
        fs::remove_dir_all(dir).expect("ours");
    }
}
