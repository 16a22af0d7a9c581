//! The catalogue's texts really run: under every shell that is here, with the recording stand-ins, on real files, and on
//! real addresses and mounts inside namespaces of their own. What cannot be had here is skipped aloud.

#[path = "catalog_world/resource.rs"]
mod resource;

use hawiz::catalog::{Action, Check, Fill, Library, Recipe, Text, Texts, Undo};
use hawiz::shell::{Value, Word, definition, quote};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

struct Plain;
impl Fill for Plain {
    fn word(&self, text: &Text) -> Result<Word, String> {
        Ok(match text.0.strip_prefix("late:") {
            Some(name) => Word::name(name),
            None => Word::literal(text.0.as_str()),
        })
    }
    fn words(&self, texts: &Texts) -> Result<Vec<Word>, String> {
        texts.0.iter().map(|t| self.word(t)).collect()
    }
}
/// The text with the functions that it calls in front, as it is sent.
fn whole(text: &Value) -> Value {
    let mut out: Vec<u8> = Library::read().of(text).iter().flat_map(|(name, body)| definition(name, body)).collect();
    out.extend_from_slice(&text.0);
    Value(out)
}
fn look(source: &str) -> String {
    let check: Check = toml::from_str(source).expect("a check");
    whole(&check.look(&Plain).expect("compiles")).lossy()
}
fn recipe(source: &str) -> Recipe {
    let action: Action = toml::from_str(source).expect("an action");
    let made = action.recipe(&Plain).expect("compiles");
    Recipe {
        done: made.done.as_ref().map(whole),
        run: whole(&made.run),
        verify: made.verify.as_ref().map(whole),
        undo: match made.undo {
            Undo::Run(text) => Undo::Run(whole(&text)),
            none => none,
        },
        ..made
    }
}
fn done(r: &Recipe) -> String {
    r.done.as_ref().expect("it has a look").lossy()
}
fn undo(r: &Recipe) -> String {
    match &r.undo {
        Undo::Run(text) => text.lossy(),
        Undo::None(why) => panic!("no undo: {why}"),
    }
}

fn shells() -> Vec<&'static [&'static str]> {
    let all: [&[&str]; 4] = [&["dash"], &["bash"], &["busybox", "sh"], &["mksh"]];
    all.into_iter()
        .filter(|argv| {
            let there = Command::new(argv[0]).arg("-c").arg("true").output().is_ok();
            if !there {
                println!("skipped: no {} here", argv[0]);
            }
            there
        })
        .collect()
}

#[derive(Debug)]
struct Out {
    code: i32,
    out: String,
    err: String,
}

/// A folder of its own with the stand-ins in it.
struct World {
    dir: PathBuf,
    shell: &'static [&'static str],
    path: String,
}
impl World {
    fn new(shell: &'static [&'static str]) -> World {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("world-{}-{n}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).expect("a folder");
        World { dir, shell, path: std::env::var("PATH").unwrap_or_default() }
    }
    fn with_stubs(shell: &'static [&'static str]) -> World {
        let mut world = World::new(shell);
        let install = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/xcat/stubs/install.sh");
        let ok = Command::new("sh").arg(install).arg(&world.dir).status().expect("runs").success();
        assert!(ok, "the stand-ins are laid out");
        fs::create_dir_all(world.dir.join("state/mn1/svc")).expect("a folder");
        world.path = format!("{}:{}", world.dir.join("bin").display(), world.path);
        world
    }
    /// A PATH with nothing but the usual tools: no service manager, no `ip`.
    fn with_bare_tools(shell: &'static [&'static str]) -> World {
        let mut world = World::new(shell);
        let bin = world.dir.join("bin");
        fs::create_dir_all(&bin).expect("a folder");
        for tool in
            ["sh", "awk", "sed", "cat", "tail", "head", "readlink", "mktemp", "rm", "mv", "ln", "grep", "printf"]
        {
            let found = which(tool);
            if found.is_absolute() {
                symlink(found, bin.join(tool)).expect("a link");
            }
        }
        world.path = bin.display().to_string();
        world
    }
    fn tool(&self, name: &str, text: &str) {
        let file = self.dir.join("bin").join(name);
        fs::write(&file, format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("executable");
    }
    fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.dir.join(name);
        fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
        fs::write(&file, text).expect("written");
        file
    }
    fn read(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.dir.join(name)).expect("readable")).into_owned()
    }
    /// As a session runs it: `LC_ALL=C SHELL -eu FILE`, values set at the head.
    fn run_with(&self, text: &str, values: &[(&str, &str)]) -> Out {
        let mut file = Vec::new();
        for (name, value) in values {
            file.extend_from_slice(name.as_bytes());
            file.push(b'=');
            file.extend(quote(value.as_bytes()));
            file.push(b'\n');
        }
        file.extend_from_slice(text.as_bytes());
        let script = self.dir.join("text.sh");
        fs::write(&script, file).expect("written");
        let shell = which(self.shell[0]);
        let out = Command::new(shell)
            .args(&self.shell[1..])
            .arg("-eu")
            .arg(script)
            .env("LC_ALL", "C")
            .env("PATH", &self.path)
            .env("STUB_DIR", &self.dir)
            .env("STUB_HOST", "mn1")
            .current_dir("/")
            .output()
            .expect("runs");
        Out {
            code: out.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&out.stdout).into_owned(),
            err: String::from_utf8_lossy(&out.stderr).into_owned(),
        }
    }
    fn run(&self, text: &str) -> Out {
        self.run_with(text, &[])
    }
    /// The commands the stand-ins recorded since the last call, without those that only look.
    fn changes(&self) -> Vec<String> {
        let trace = self.read("trace");
        fs::write(self.dir.join("trace"), "").expect("written");
        let looks = ["systemctl show", "systemctl is-", "ip -o", "arping -V", "arping -D", "sed ", "findmnt"];
        trace
            .lines()
            .filter_map(|l| l.splitn(4, '\t').nth(3))
            .filter(|c| *c != "hostname" && !looks.iter().any(|l| c.starts_with(l)))
            .map(str::to_owned)
            .collect()
    }
    #[track_caller]
    fn expect(&self, text: &str, code: i32, says: &str) -> Out {
        let out = self.run(text);
        assert_eq!(out.code, code, "{:?}: {out:?}\n{text}", self.shell);
        assert!(out.out.contains(says) || out.err.contains(says), "{:?}: {says}: {out:?}\n{text}", self.shell);
        out
    }
}
impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}
fn which(tool: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').map(|d| Path::new(d).join(tool)).find(|p| p.exists()).unwrap_or_else(|| tool.into())
}

#[test]
fn a_service_is_started_by_the_plain_command() {
    for shell in shells() {
        let w = World::with_stubs(shell);
        let start = recipe("service-start = { unit = 'postgresql' }");
        let stop = recipe("service-stop = { unit = 'postgresql' }");
        w.expect(&done(&start), 1, "postgresql is inactive");
        w.expect(&done(&stop), 0, "postgresql is inactive");
        assert_eq!(w.changes(), [""; 0]);
        w.expect(&start.run.lossy(), 0, "");
        assert_eq!(w.changes(), ["systemctl start postgresql"]);
        w.expect(&done(&start), 0, "postgresql is active");
        w.expect(&done(&stop), 1, "postgresql is active");
        w.expect(&undo(&start), 0, "");
        assert_eq!(w.changes(), ["systemctl stop postgresql"]);
        let disable = recipe("service-disable = { unit = 'named' }");
        w.expect(&done(&disable), 0, "named is disabled");
        w.expect(&undo(&disable), 0, "");
        w.expect(&done(&disable), 1, "named is enabled");
        w.expect(&look("service-enabled = { unit = 'named' }"), 0, "named is enabled");
        w.expect(&disable.run.lossy(), 0, "");
        assert_eq!(w.changes(), ["systemctl enable named", "systemctl disable named"]);
        let restart = recipe("service-restart = { unit = 'xcatd' }");
        w.expect(&restart.run.lossy(), 0, "");
        w.expect(&restart.verify.expect("it is looked at").lossy(), 0, "xcatd is active");
        assert_eq!(w.changes(), ["systemctl restart xcatd"]);
        let late = recipe("service-start = { unit = 'late:u' }");
        assert_eq!(w.run_with(&late.run.lossy(), &[("u", "conserver")]).code, 0);
        assert_eq!(w.changes(), ["systemctl start conserver"]);
        assert_eq!(w.run_with(&late.run.lossy(), &[("u", "--now")]).code, 125);
        assert_eq!(w.run_with(&done(&late), &[("u", "x;reboot")]).code, 126);
        assert_eq!(w.changes(), [""; 0]);
    }
}

#[test]
fn an_absent_unit_is_named_and_left_alone() {
    for shell in shells() {
        let w = World::with_stubs(shell);
        w.file("state/mn1/units.missing", "goconserver\n");
        let of = |op: &str| format!("{op} = {{ unit = 'goconserver' }}");
        for op in ["service-stop", "service-disable"] {
            w.expect(&done(&recipe(&of(op))), 3, "there is no unit goconserver");
        }
        for op in ["service-start", "service-enable", "service-restart"] {
            w.expect(&recipe(&of(op)).run.lossy(), 125, "there is no unit goconserver");
        }
        w.expect(&look(&of("service-inactive")), 3, "there is no unit goconserver");
        for op in ["service-active", "service-enabled", "service-exists"] {
            w.expect(&look(&of(op)), 1, "there is no unit goconserver");
        }
        assert_eq!(w.changes(), [""; 0]);
    }
}

#[test]
fn in_between_is_neither_and_silence_is_no_answer() {
    for shell in shells() {
        let w = World::with_stubs(shell);
        let (active, inactive) = (look("service-active = { unit = 'x' }"), look("service-inactive = { unit = 'x' }"));
        for (state, a, i) in [
            ("active", 0, 1),
            ("inactive", 1, 0),
            ("failed", 1, 0),
            ("activating", 4, 4),
            ("deactivating", 4, 4),
            ("reloading", 4, 4),
            ("quantum", 126, 126),
        ] {
            w.file("rules", &format!("systemctl show * ;; out=LoadState=loaded\\nActiveState={state}\\n\n"));
            w.expect(&active, a, state);
            w.expect(&inactive, i, state);
        }
        w.file("rules", "systemctl * ;; rc=1 ;; err=Failed to connect to bus\\n\n");
        for op in ["service-active", "service-inactive", "service-exists", "service-enabled"] {
            w.expect(&look(&format!("{op} = {{ unit = 'x' }}")), 126, "Failed to connect");
        }
        w.file("rules", "systemctl show * ;; out=LoadState=not-found\\nActiveState=active\\n\n");
        w.expect(&inactive, 1, "active"); // its file is gone, it still runs
        for (word, code) in [("static", 3), ("masked", 0), ("enabled-runtime", 1), ("not-found", 3)] {
            w.file("rules", &format!("systemctl is-enabled * ;; out={word}\\n\n"));
            w.expect(&done(&recipe("service-disable = { unit = 'x' }")), code, "");
        }
    }
}

#[test]
fn without_systemd_openrc_is_asked() {
    if Path::new("/run/systemd/system").exists() {
        return println!("skipped: this machine runs systemd, which is never passed over");
    }
    for shell in shells() {
        let w = World::with_bare_tools(shell);
        w.tool(
            "rc-service",
            r#"echo "$@" >>"$STUB_DIR/log"
case $1-$2 in
-e-ghost) exit 1 ;; -e-*) exit 0 ;;
ghost-*) echo "rc-service: service \`ghost' does not exist" >&2; exit 1 ;;
*-status) echo " * status: $(cat "$STUB_DIR/now")"; exit 3 ;;
esac"#,
        );
        w.tool("rc-update", r#"echo update "$@" >>"$STUB_DIR/log"; case $1 in show) echo "   web | default" ;; esac"#);
        for (state, a, i) in
            [("started", 0, 1), ("stopped", 1, 0), ("starting", 4, 4), ("crashed", 1, 0), ("odd", 126, 126)]
        {
            w.file("now", state);
            w.expect(&look("service-active = { unit = 'web' }"), a, "");
            w.expect(&look("service-inactive = { unit = 'web.service' }"), i, "");
        }
        w.expect(&look("service-inactive = { unit = 'ghost' }"), 3, "no unit ghost");
        w.expect(&look("service-enabled = { unit = 'web' }"), 0, "enabled");
        w.expect(&look("service-enabled = { unit = 'db' }"), 1, "disabled");
        w.expect(&look("service-enabled = { unit = 'ghost' }"), 1, "no unit ghost");
        fs::write(w.dir.join("log"), "").expect("written");
        w.expect(&recipe("service-start = { unit = 'web' }").run.lossy(), 0, "");
        w.expect(&recipe("service-disable = { unit = 'web' }").run.lossy(), 0, "");
        assert_eq!(w.read("log"), "web start\nupdate -a del web\n");
    }
}

#[test]
fn without_systemd_and_openrc_an_init_script_is_asked() {
    if Path::new("/run/systemd/system").exists() {
        return println!("skipped: this machine runs systemd, which is never passed over");
    }
    for shell in shells() {
        let w = World::with_bare_tools(shell);
        let here = w.dir.display().to_string();
        let fit =
            |t: String| t.replace("/etc/rc", &format!("{here}/rc")).replace("/etc/init.d", &format!("{here}/bin"));
        for (text, code, a, i) in [
            ("web (pid 12) is running", 0, 0, 1),
            ("web is stopped", 3, 1, 0),
            ("web dead but pid file exists", 1, 1, 0),
            ("cannot read the configuration", 1, 126, 126),
            ("Usage: web start|stop", 2, 126, 126),
            ("status unknown", 4, 126, 126),
        ] {
            w.tool("web", &format!("echo '{text}'; exit {code}"));
            w.expect(&fit(look("service-active = { unit = 'web' }")), a, "");
            w.expect(&fit(look("service-inactive = { unit = 'web.service' }")), i, "");
        }
        w.expect(&fit(look("service-inactive = { unit = 'ghost' }")), 3, "no unit ghost");
        w.expect(&fit(recipe("service-start = { unit = 'ghost' }").run.lossy()), 125, "no unit ghost");
        w.expect(&fit(look("service-enabled = { unit = 'web' }")), 1, "disabled");
        w.file("rc3.d/S20web", "");
        w.expect(&fit(look("service-enabled = { unit = 'web' }")), 0, "enabled");
        // systemctl is installed and says nothing: then nobody knows.
        w.tool("systemctl", "echo 'System has not been booted with systemd' >&2; exit 1");
        w.expect(&fit(look("service-inactive = { unit = 'ghost' }")), 126, "not been booted");
    }
}

#[test]
fn an_address_is_itself_and_nothing_else() {
    for shell in shells() {
        let w = World::with_stubs(shell);
        w.file("state/mn1/addrs", "eth0 eth0 10.5.106.70/8\n");
        w.file("state/mn2/addrs", "eth0 eth0 10.5.106.5/8\n");
        let add =
            recipe("ip-add = { address = '10.5.106.7', prefix = 8, dev = 'eth0', label = 'eth0:0', announce = true }");
        let del = recipe("ip-del = { address = '10.5.106.7' }");
        let free = look("ip-free = { address = '10.5.106.7', dev = 'eth0' }");
        w.expect(&free, 0, "nobody answers");
        w.expect(&done(&add), 1, "10.5.106.7 is not on eth0");
        w.expect(&done(&del), 0, "on no interface");
        w.changes();
        w.expect(&add.run.lossy(), 0, "");
        assert_eq!(
            w.changes(),
            ["ip addr add 10.5.106.7/8 brd + dev eth0 label eth0:0", "arping -U -c 3 -I eth0 10.5.106.7"]
        );
        w.expect(&done(&add), 0, "10.5.106.7/8 is on eth0");
        w.expect(&look("ip-present = { address = '10.5.106.7' }"), 0, "on eth0");
        w.expect(&look("ip-present = { address = '10.5.106.0' }"), 1, "not on any interface");
        w.expect(&free, 0, "this node itself holds");
        let before = w.expect(&done(&del), 1, "eth0 10.5.106.7/8 scope global label eth0:0\n").out;
        w.changes();
        w.expect(&del.run.lossy(), 0, "");
        assert_eq!(w.changes(), ["ip addr del 10.5.106.7/8 dev eth0"]);
        w.expect(&done(&del), 0, "");
        assert_eq!(w.run_with(&undo(&del), &[("before", &before)]).code, 0);
        assert_eq!(
            w.changes(),
            ["ip addr add 10.5.106.7/8 scope global label eth0:0 dev eth0", "arping -U -c 3 -I eth0 10.5.106.7"]
        );
        w.expect(&undo(&add), 0, "");
        assert_eq!(w.changes(), ["ip addr del 10.5.106.7/8 dev eth0"]);
        assert_eq!(w.read("state/mn1/addrs"), "eth0 eth0 10.5.106.70/8\n");
        w.expect(&undo(&add), 0, "");
        assert_eq!(w.changes(), [""; 0]);
        // Expected there, and found there or elsewhere: each place once.
        let del = recipe("ip-del = { address = '10.5.106.7', prefix = 8, dev = 'eth0' }");
        w.file("state/mn1/addrs", "eth0 eth0 10.5.106.70/8\neth0 eth0:0 10.5.106.7/8\n");
        w.expect(&del.run.lossy(), 0, "");
        assert_eq!(w.changes(), ["ip addr del 10.5.106.7/8 dev eth0"]);
        w.expect(&del.run.lossy(), 0, "");
        assert_eq!(w.changes(), [""; 0]);
        w.file("state/mn1/addrs", "eth0 eth0 10.5.106.70/8\neth1 eth1 10.5.106.7/24\n");
        w.expect(&del.run.lossy(), 0, "");
        assert_eq!(w.changes(), ["ip addr del 10.5.106.7/24 dev eth1"]);
        w.file("state/mn2/addrs", "eth0 eth0 10.5.106.5/8\neth0 eth0:0 10.5.106.7/8\n");
        w.expect(&free, 1, "another node answers on 10.5.106.7");
        w.file("state/mn1/addrs", "eth1 eth1 10.5.106.7/8\n");
        w.changes();
        w.expect(&add.run.lossy(), 125, "another interface");
        assert_eq!(w.changes(), [""; 0]);
        w.file("rules", "ip * ;; rc=1 ;; err=Cannot open netlink socket\\n\n");
        for text in [done(&add), done(&del), free.clone(), look("ip-present = { address = '10.5.106.7' }")] {
            w.expect(&text, 126, "netlink");
        }
    }
}

#[test]
fn a_host_name_goes_and_comes_back() {
    for shell in shells() {
        let w = World::with_stubs(shell);
        w.file("state/mn1/hostname", "xcatmn1-p\n");
        let r = recipe("hostname = { name = 'xcatmn1' }");
        let before = w.expect(&done(&r), 1, "xcatmn1-p").out;
        w.expect(&r.run.lossy(), 0, "");
        w.expect(&done(&r), 0, "xcatmn1");
        assert_eq!(w.run_with(&undo(&r), &[("before", &before)]).code, 0);
        assert_eq!(w.changes(), ["hostname xcatmn1", "hostname xcatmn1-p"]);
    }
}

#[test]
fn mounts_by_the_stand_ins() {
    for shell in shells() {
        let w = World::with_stubs(shell);
        let r = recipe("mount = { path = '/HA/' }");
        w.expect(&done(&r), 1, "/HA is not a mount point");
        w.expect(&r.run.lossy(), 0, "");
        w.expect(&done(&r), 0, "mounted");
        w.expect(&undo(&r), 0, "");
        assert_eq!(w.changes(), ["mount /HA", "umount /HA"]);
        w.expect(&done(&r), 1, "");
        w.file("rules", "findmnt * ;; rc=1 ;; err=findmnt: cannot read the table\\n\n");
        w.expect(&done(&r), 126, "cannot read");
    }
}

/// Runs a file operation through: no → change → yes → undo → the very bytes.
fn there_and_back(w: &World, r: &Recipe, swap: &[(&str, &str)], name: &str, made: &str) {
    let fit = |text: String| swap.iter().fold(text, |t, (from, to)| t.replace(from, to));
    let was = w.dir.join(name).exists().then(|| w.read(name));
    let before = w.run(&fit(done(r)));
    assert_eq!(before.code, 1, "{before:?}");
    assert!(!before.err.trim().is_empty(), "a person reads something: {before:?}");
    w.expect(&fit(r.run.lossy()), 0, "");
    assert_eq!(w.read(name), made, "{:?}", w.shell);
    w.expect(&fit(done(r)), 0, "present\n");
    let back = w.run_with(&fit(undo(r)), &[("before", &before.out)]);
    assert_eq!(back.code, 0, "{back:?}");
    match &was {
        Some(was) => assert_eq!(&w.read(name), was, "the very bytes, {:?}", w.shell),
        None => assert!(!w.dir.join(name).exists(), "it was not there"),
    }
    // Somebody else changes the file in between: only our part goes.
    w.expect(&fit(r.run.lossy()), 0, "");
    let theirs = format!("{}# theirs\n", w.read(name));
    w.file(name, &theirs);
    let back = w.run_with(&fit(undo(r)), &[("before", &before.out)]);
    assert_eq!(back.code, 0, "{back:?}");
    assert!(back.err.contains("changed by somebody"), "{back:?}");
    assert!(w.read(name).ends_with("# theirs\n"), "{}", w.read(name));
    assert_eq!(w.run(&fit(done(r))).code, 1, "ours is gone: {}", w.read(name));
    assert!(
        fs::read_dir(&w.dir).expect("readable").all(|e| !e
            .expect("an entry")
            .file_name()
            .to_string_lossy()
            .starts_with(".hawiz."))
    );
    match was {
        Some(was) => drop(w.file(name, &was)),
        None => fs::remove_file(w.dir.join(name)).expect("removed"),
    }
}

#[test]
fn a_line_goes_in_and_out() {
    let line = r#"it's "$HOME" \n `x` @path@  end"#;
    for shell in shells() {
        let w = World::new(shell);
        let path = w.file("it's a $file", "first\nlast without end");
        let source = toml::to_string(&toml::Table::from_iter([(
            "line-in-file".to_owned(),
            toml::Value::Table(toml::Table::from_iter([
                ("path".to_owned(), path.display().to_string().into()),
                ("line".to_owned(), line.into()),
            ])),
        )]))
        .expect("TOML");
        let r = recipe(&source);
        there_and_back(&w, &r, &[], "it's a $file", &format!("first\nlast without end\n{line}\n"));
        fs::remove_file(&path).expect("removed");
        there_and_back(&w, &r, &[], "it's a $file", &format!("{line}\n"));
        w.file("it's a $file", &format!("{line} and more\n"));
        w.expect(&look(&source.replace("line-in-file", "file-has-line")), 1, "does not have");
        w.file("it's a $file", line);
        w.expect(&look(&source.replace("line-in-file", "file-has-line")), 0, "has the line");
    }
}

#[test]
fn an_edited_file_keeps_its_link_mode_inode_and_attributes() {
    for shell in shells() {
        let w = World::new(shell);
        let real = w.file("real/conf", "a\n");
        let path = w.dir.join("conf");
        symlink("real/conf", &path).expect("a link");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).expect("a mode");
        let _ = std::os::unix::fs::chown(&real, Some(0), Some(1)); // only root can
        let attr = |args: &[&str]| Command::new(args[0]).args(&args[1..]).arg(&real).output();
        let tagged = attr(&["setfattr", "-n", "user.hawiz", "-v", "kept"]).is_ok_and(|o| o.status.success());
        if !tagged {
            println!("skipped: no extended attributes here");
        }
        let was = fs::metadata(&real).expect("there");
        let r = recipe(&format!("line-in-file = {{ path = '{}', line = 'b' }}", path.display()));
        w.expect(&r.run.lossy(), 0, "");
        let now = fs::metadata(&real).expect("there");
        assert_eq!((was.mode(), was.uid(), was.gid(), was.ino()), (now.mode(), now.uid(), now.gid(), now.ino()));
        assert!(fs::symlink_metadata(&path).expect("there").is_symlink());
        assert_eq!(w.read("real/conf"), "a\nb\n");
        if tagged {
            let out = attr(&["getfattr", "--only-values", "-n", "user.hawiz"]).expect("runs");
            assert_eq!(String::from_utf8_lossy(&out.stdout), "kept");
        }
    }
}

#[test]
fn hosts_entries() {
    let r = recipe("hosts-entry = { address = '10.5.106.7', names = ['xcatmn1', 'xcatmn1.cluster.com'] }");
    for shell in shells() {
        let w = World::new(shell);
        let hosts = w.dir.join("hosts").display().to_string();
        let swap = [("/etc/hosts", hosts.as_str())];
        let fit = |t: String| t.replace("/etc/hosts", &hosts);
        for (was, made) in [
            (
                "127.0.0.1 localhost\n10.5.106.70 xcatmn1-p",
                "127.0.0.1 localhost\n10.5.106.70 xcatmn1-p\n10.5.106.7 xcatmn1 xcatmn1.cluster.com\n",
            ),
            ("10.5.106.7\txcatmn1 # vip\n", "10.5.106.7\txcatmn1 xcatmn1.cluster.com # vip\n"),
            (
                "# 10.5.106.7 xcatmn1 xcatmn1.cluster.com\n",
                "# 10.5.106.7 xcatmn1 xcatmn1.cluster.com\n10.5.106.7 xcatmn1 xcatmn1.cluster.com\n",
            ),
            ("fd00::7 xcatmn1\n", "fd00::7 xcatmn1\n10.5.106.7 xcatmn1 xcatmn1.cluster.com\n"),
            ("", "10.5.106.7 xcatmn1 xcatmn1.cluster.com\n"),
        ] {
            w.file("hosts", was);
            there_and_back(&w, &r, &swap, "hosts", made);
        }
        w.file("hosts", "127.0.1.1 node1 XCATMN1\n");
        let out =
            w.expect(&fit(r.run.lossy()), 125, "line 1 gives this name to another address: 127.0.1.1 node1 XCATMN1");
        assert_eq!(w.read("hosts"), "127.0.1.1 node1 XCATMN1\n", "{out:?}");
        w.file("hosts", "127.0.1.1 xcatmn1\n10.5.106.7 xcatmn1 xcatmn1.cluster.com\n");
        w.expect(&fit(done(&r)), 1, "xcatmn1 is first a name of 127.0.1.1");
        w.file("hosts", "10.5.106.7 other\n10.5.106.7 xcatmn1 xcatmn1.cluster.com\n");
        w.expect(&fit(done(&r)), 1, "xcatmn1 is not a name of");
    }
}

#[test]
fn name_servers() {
    let r = recipe("nameserver = { address = '10.5.106.7' }");
    for shell in shells() {
        let w = World::new(shell);
        let conf = w.dir.join("resolv.conf").display().to_string();
        let swap = [("/etc/resolv.conf", conf.as_str())];
        for (was, made) in [
            (
                "search cluster.com\nnameserver 10.0.0.1",
                "search cluster.com\nnameserver 10.5.106.7\nnameserver 10.0.0.1\n",
            ),
            ("nameserver 10.5.106.70\n", "nameserver 10.5.106.7\nnameserver 10.5.106.70\n"),
            ("search x", "search x\nnameserver 10.5.106.7\n"),
        ] {
            w.file("resolv.conf", was);
            there_and_back(&w, &r, &swap, "resolv.conf", made);
        }
        fs::remove_file(w.dir.join("resolv.conf")).expect("removed");
        there_and_back(&w, &r, &swap, "resolv.conf", "nameserver 10.5.106.7\n");
        w.file("resolv.conf", "nameserver 1.1.1.1\nnameserver 2.2.2.2\nnameserver 3.3.3.3\nnameserver 10.5.106.7\n");
        w.expect(&done(&r).replace("/etc/resolv.conf", &conf), 1, "three are used");
    }
}

#[test]
fn listen_addresses() {
    for shell in shells() {
        let w = World::new(shell);
        let conf = w.dir.join("postgresql.conf").display().to_string();
        let r = recipe(&format!("pg-listen = {{ conf = '{conf}', addresses = ['10.5.106.7', '10.5.106.70'] }}"));
        for (was, made) in [
            (
                "#listen_addresses = 'localhost'\nport = 5432",
                "#listen_addresses = 'localhost'\nport = 5432\nlisten_addresses = 'localhost,10.5.106.7,10.5.106.70'\n",
            ),
            (
                "listen_addresses = 'localhost, 10.5.106.7'  # keep\n",
                "listen_addresses = 'localhost, 10.5.106.7,10.5.106.70'  # keep\n",
            ),
            (
                "Listen_Addresses 'a'\nlisten_addresses='b' # 'c'\nport=1\n",
                "Listen_Addresses 'a'\nlisten_addresses='b,10.5.106.7,10.5.106.70' # 'c'\nport=1\n",
            ),
            ("listen_addresses = localhost\n", "listen_addresses = 'localhost,10.5.106.7,10.5.106.70'\n"),
            ("listen_addresses = ''\n", "listen_addresses = '10.5.106.7,10.5.106.70'\n"),
            (
                "listen_addresses = '10.5.106.7'\nlisten_addresses = 'x'\n",
                "listen_addresses = '10.5.106.7'\nlisten_addresses = 'x,10.5.106.7,10.5.106.70'\n",
            ),
        ] {
            w.file("postgresql.conf", was);
            there_and_back(&w, &r, &[], "postgresql.conf", made);
        }
        for all in ["'*'", "'0.0.0.0'", "'10.5.106.70 , 10.5.106.7'", "'localhost,*' # all"] {
            w.file("postgresql.conf", &format!("listen_addresses = {all}\n"));
            w.expect(&done(&r), 0, "listens on");
        }
        w.file("postgresql.conf", "listen_addresses = '::'\n");
        w.expect(&done(&r), 1, "not on 10.5.106.7");
    }
}

#[test]
fn links_keep_what_was_there() {
    for shell in shells() {
        let w = World::new(shell);
        let (path, to) = (w.dir.join("my data"), w.dir.join("share/my data"));
        let r = recipe(&format!("link = {{ path = \"{}\", to = \"{}\" }}", path.display(), to.display()));
        w.file("my data/old", "old");
        w.file("my data.hawiz-bak/older", "older");
        w.expect(&r.run.lossy(), 125, "does not exist");
        w.file("share/my data/new", "new");
        let before = w.expect(&done(&r), 1, "directory, to be kept as").out;
        w.expect(&r.run.lossy(), 0, "");
        w.expect(&done(&r), 0, "is a link to");
        w.expect(
            &look(&format!("resolves = {{ path = \"{}\", to = \"{}\" }}", path.display(), to.display())),
            0,
            "leads to",
        );
        assert_eq!((w.read("my data/new"), w.read("my data.hawiz-bak/older")), ("new".into(), "older".into()));
        assert_eq!(w.read("my data.hawiz-bak.1/old"), "old");
        assert_eq!(w.run_with(&undo(&r), &[("before", &before)]).code, 0);
        assert_eq!((w.read("my data/old"), w.read("my data.hawiz-bak/older")), ("old".into(), "older".into()));
        assert!(!w.dir.join("my data.hawiz-bak.1").exists());
        // Broken off between the two renames: undo still brings it back.
        fs::rename(&path, w.dir.join("my data.hawiz-bak.1")).expect("moved");
        assert_eq!(w.run_with(&undo(&r), &[("before", &before)]).code, 0);
        assert_eq!(w.read("my data/old"), "old");
        // A dangling link, and nothing at all.
        fs::remove_dir_all(&path).expect("removed");
        symlink("nowhere", &path).expect("a link");
        let before = w.expect(&done(&r), 1, "link, to be kept").out;
        w.expect(&r.run.lossy(), 0, "");
        assert_eq!(w.run_with(&undo(&r), &[("before", &before)]).code, 0);
        assert_eq!(fs::read_link(&path).expect("a link"), Path::new("nowhere"));
        fs::remove_file(&path).expect("removed");
        let before = w.expect(&done(&r), 1, "absent").out;
        w.expect(&r.run.lossy(), 0, "");
        assert_eq!(w.run_with(&undo(&r), &[("before", &before)]).code, 0);
        assert!(fs::symlink_metadata(&path).is_err());
        // Somebody put something else there since.
        w.file("my data", "theirs");
        assert_eq!(w.run_with(&undo(&r), &[("before", &before)]).code, 125);
        assert_eq!(w.read("my data"), "theirs");
        w.expect(
            &look(&format!("resolves = {{ path = \"{}/x\", to = \"{}\" }}", path.display(), to.display())),
            1,
            "does not exist",
        );
        w.expect(&look(&format!("writable = {{ path = \"{}\" }}", path.display())), 0, "can be written");
    }
}

#[test]
fn does_it_answer() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let open = listener.local_addr().expect("bound").port();
    let shut = {
        let other = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        other.local_addr().expect("bound").port()
    };
    let port = |p: u16| look(&format!("port-open = {{ host = '127.0.0.1', port = {p} }}"));
    for shell in shells() {
        let w = World::new(shell);
        w.expect(&port(open), 0, "is open");
        w.expect(&port(shut), 1, "refused");
        w.expect(&look("port-open = { host = 'no-such-host.invalid', port = 1 }"), 126, "");
        World::with_bare_tools(shell).expect(&port(open), 126, "neither bash nor nc");
        World::with_bare_tools(shell).expect(
            &look("http = { url = 'http://127.0.0.1/' }"),
            126,
            "neither curl nor wget",
        );
        World::with_bare_tools(shell).expect(&look("clock-synchronised = {}"), 126, "told anything");
        World::with_bare_tools(shell).expect(&look("ip-present = { address = '10.0.0.1' }"), 126, "");
        World::with_bare_tools(shell).expect(&look("pg-ready = { host = 'x' }"), 126, "");
        World::with_bare_tools(shell).expect(&look("package = { name = 'x' }"), 126, "");
        World::with_bare_tools(shell).expect(&look("process = { name = 'x' }"), 126, "");
    }
}

#[test]
fn tools_are_understood_by_their_words() {
    for shell in shells() {
        let w = World::with_bare_tools(shell);
        let clock = look("clock-synchronised = {}");
        for (tool, says, code) in [
            ("chronyc", "Stratum : 3\nLeap status     : Normal", 0),
            ("chronyc", "Leap status     : Not synchronised", 1),
            ("chronyc", "506 Cannot talk to daemon", 126),
            ("ntpstat", "unsynchronised\n  polling server every 8 s", 1),
            ("ntpstat", "synchronised to NTP server (10.0.0.1) at stratum 4", 0),
            ("ntpq", "     remote           refid      st t\n=====\n*10.0.0.1  .GPS. 1 u", 0),
            ("ntpq", "     remote           refid      st t\n=====\n+10.0.0.1  .GPS. 1 u", 1),
            ("timedatectl", "NTPSynchronized=yes", 0),
            ("timedatectl", "System clock synchronized: no", 1),
        ] {
            w.tool(tool, &format!("cat <<'X'\n{says}\nX"));
            w.expect(&clock, code, "");
            fs::remove_file(w.dir.join("bin").join(tool)).expect("removed");
        }
        w.tool(
            "pg_isready",
            "echo \"$2:5432 - state $CODE\"; exit $CODE".replace("$CODE", "$(cat \"$STUB_DIR/code\")").as_str(),
        );
        for (code, want) in [("0", 0), ("1", 4), ("2", 1), ("3", 126)] {
            w.file("code", code);
            w.expect(&look("pg-ready = { host = 'x' }"), want, "x:5432");
        }
        w.tool("rpm", "echo \"package $2 is not installed\"; exit 1");
        w.expect(&look("package = { name = 'xcat' }"), 1, "not installed (rpm)");
        w.tool("dpkg-query", "echo 'ii  xcat 2.16'");
        w.expect(&look("package = { name = 'xcat' }"), 0, "xcat 2.16 is installed");
        w.tool("ps", "echo '  12 xcatd'; echo '  13 NetworkManager-'");
        w.expect(&look("process = { name = 'xcatd' }"), 0, "12");
        w.expect(&look("process = { name = 'xcat' }"), 1, "no process xcat");
        w.expect(&look("process = { name = 'NetworkManager-dispatcher' }"), 0, "13");
        w.tool("curl", "printf 302");
        w.expect(&look("http = { url = 'http://x/', status = 302 }"), 0, "302");
        w.expect(&look("http = { url = 'http://x/' }"), 1, "wanted 200");
        w.tool("curl", "exit 7");
        w.expect(&look("http = { url = 'http://x/' }"), 1, "no answer");
        w.tool("curl", "echo 'certificate has expired'; exit 60");
        w.expect(&look("http = { url = 'http://x/' }"), 126, "certificate");
    }
}

/// Runs a script inside namespaces of its own; `None` (said aloud) where they can't be had.
fn apart(flags: &str, w: &World, script: &str) -> Option<String> {
    if !Command::new("unshare").args([flags, "true"]).output().is_ok_and(|o| o.status.success()) {
        println!("skipped: no `unshare {flags}` here");
        return None;
    }
    let file = w.file("apart.sh", script);
    let out =
        Command::new("unshare").args([flags, "sh", "-u"]).arg(file).env("LC_ALL", "C").env("DIR", &w.dir).output();
    let out = out.expect("runs");
    Some(String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr))
}
/// Writes a recipe's texts as files and gives the shell functions that run them.
fn laid_out(w: &World, name: &str, r: &Recipe) -> String {
    w.file(&format!("{name}.done"), &done(r));
    w.file(&format!("{name}.run"), &r.run.lossy());
    w.file(&format!("{name}.undo"), &undo(r));
    let shell = w.shell.join(" ");
    format!(
        "{name}_done() {{ {shell} -eu \"$DIR/{name}.done\"; }}\n{name}_run() {{ {shell} -eu \"$DIR/{name}.run\"; }}\n\
         {name}_undo() {{ before=$1 {shell} -eu \"$DIR/{name}.undo\"; }}\n"
    )
}

#[test]
fn real_addresses_in_a_network_of_their_own() {
    if Command::new("ip").arg("-V").output().is_err() {
        return println!("skipped: no ip here");
    }
    for shell in shells() {
        let w = World::new(shell);
        let mut script = laid_out(&w, "del", &recipe("ip-del = { address = '10.9.0.7' }"));
        script += &laid_out(
            &w,
            "add",
            &recipe("ip-add = { address = '10.9.0.7', prefix = 24, dev = 'd0', label = 'd0:vip' }"),
        );
        script += &laid_out(&w, "six", &recipe("ip-add = { address = 'fd00:9::7', prefix = 64, dev = 'd0' }"));
        script += &laid_out(&w, "out", &recipe("ip-del = { address = 'fd00:9::7' }"));
        script += r#"
ip link add d0 type dummy 2>/dev/null || ip link add d0 type veth peer name d1 || { echo NO-LINK; exit; }
ip link set d0 up; ip link set d1 up 2>/dev/null
list() { ip -o -4 addr show dev d0 | awk '{ printf "%s ", $4 } END { print "" }'; }
ip addr add 10.9.0.7/24 brd + dev d0 label d0:x; ip addr add 10.9.0.70/24 dev d0; ip addr add 10.9.0.8/24 dev d0
b=$(del_done); echo "there $? $b"
p=/proc/sys/net/ipv4/conf/d0/promote_secondaries; echo 0 >$p || echo READ-ONLY
del_run; echo "del $?"; echo "promote $(cat $p)"; list
del_done; echo "gone $?"
del_undo "$b" 2>/dev/null; echo "undo $?"; list
del_done >/dev/null; echo "there $?"
del_run; add_done; echo "no $?"; add_run; echo "add $?"; add_done; echo "yes $?"
ip -o -4 addr show dev d0 to 10.9.0.7/32 | sed 's/.*inet/inet/; s/\\.*//'
add_undo ''; echo "undo $?"; list
six_done; echo "six $?"; six_run; echo "added $?"; six_done; echo "six $?"
b=$(out_done); echo "out $? $b"; out_run; out_done; echo "out $?"; out_undo "$b" 2>/dev/null; six_done; echo "back $?"
six_undo ''; six_done; echo "end $?"
"#;
        let Some(out) = apart("-rn", &w, &script) else { return };
        if out.contains("NO-LINK") || out.contains("READ-ONLY") {
            return println!("skipped: no links or settings in a network of its own: {out}");
        }
        let want = "there 1 d0 10.9.0.7/24 brd 10.9.0.255 scope global label d0:x
del 0
promote 0
10.9.0.70/24 10.9.0.8/24 
10.9.0.7 is on no interface of this node
gone 0
undo 0
10.9.0.70/24 10.9.0.8/24 10.9.0.7/24 
there 1
10.9.0.7 is not on d0
no 1
add 0
10.9.0.7/24 is on d0
yes 0
inet 10.9.0.7/24 brd 10.9.0.255 scope global secondary d0:vip
undo 0
10.9.0.70/24 10.9.0.8/24 
fd00:9::7 is not on d0
six 1
added 0
fd00:9::7/64 is on d0
six 0
out 1 d0 fd00:9::7/64
fd00:9::7 is on no interface of this node
out 0
fd00:9::7/64 is on d0
back 0
fd00:9::7 is not on d0
end 1
";
        assert_eq!(out, want, "{shell:?}");
    }
}

#[test]
fn real_mounts_in_a_space_of_their_own() {
    for shell in shells() {
        let w = World::new(shell);
        let at = w.dir.join("my mount");
        fs::create_dir_all(&at).expect("a folder");
        let at = at.display();
        let mut script = laid_out(
            &w,
            "mount",
            &recipe(&format!("mount = {{ path = '{at}', source = 'hawiz', type = 'tmpfs', options = 'size=1m' }}")),
        );
        script += &laid_out(&w, "umount", &recipe(&format!("umount = {{ path = '{at}' }}")));
        let r = recipe("hosts-entry = { address = '10.9.0.7', names = 'vip' }");
        script += &laid_out(&w, "hosts", &r);
        w.file("rw", &look(&format!("mounted = {{ path = '{at}', writable = true }}")));
        let without = |t: String| t.replace("command -v findmnt >/dev/null", "false");
        w.file("table", &without(look(&format!("mounted = {{ path = '{at}', writable = true }}"))));
        w.file("other", &look(&format!("mounted = {{ path = '{at}', source = 'nas:/x' }}")));
        w.file("below", &look(&format!("mounted = {{ path = '{at}/sub' }}")));
        w.file("writable", &look(&format!("writable = {{ path = '{at}' }}")));
        w.file("hosts", "127.0.0.1 localhost");
        script += &laid_out(&w, "full", &recipe(&format!("line-in-file = {{ path = '{at}/f', line = 'one more' }}")));
        script += &format!("sh='{}'\nat='{at}'\n", shell.join(" "));
        script += r#"
look() { $sh -eu "$DIR/$1" >"$DIR/said" 2>&1; echo "$1 $?"; }
mount_done >/dev/null; echo "no $?"; mount_run; echo "mount $?"; mount_done >/dev/null; echo "yes $?"
mkdir "$at/sub"; look rw; look table; look other; look below; look writable
mount_run 2>/dev/null; echo "again $?"
b=$(umount_done); echo "there $?"; umount_run; umount_done >/dev/null; echo "gone $?"; look table
umount_undo "$b"; echo "back $?"; mount_done >/dev/null; echo "yes $?"
# a full disk: the change fails, the file is as it was
head -c 20000 /dev/zero | tr '\\0' 'x' >"$at/f"; cp "$at/f" "$DIR/f"; cat /dev/zero >"$at/fill" 2>/dev/null
full_run 2>/dev/null; echo "full $?"; cmp "$at/f" "$DIR/f" && ls -A "$at"
mount -o remount,ro "$at"; look rw; look table; look writable
mount_undo ''; mount_done >/dev/null; echo "undone $?"
# /etc/hosts as containers have it: mounted by itself, so that nothing can be renamed onto it
mount --bind "$DIR/hosts" /etc/hosts || echo NO-BIND
b=$(hosts_done 2>/dev/null; echo .); hosts_run; echo "hosts $?"; cat /etc/hosts
hosts_undo "${b%.}"; echo "undo $?"; cat "$DIR/hosts"; echo .
mount -o remount,bind,ro /etc/hosts; hosts_run 2>/dev/null && echo WRITTEN; cat "$DIR/hosts"; echo .
"#;
        let Some(out) = apart("-rm", &w, &script) else { return };
        let want = "no 1
mount 0
yes 0
rw 0
table 0
other 1
below 1
writable 0
again 125
there 1
gone 0
table 1
back 0
yes 0
full 1
f
fill
rw 1
table 1
writable 1
undone 1
hosts 0
127.0.0.1 localhost
10.9.0.7 vip
undo 0
127.0.0.1 localhost.
127.0.0.1 localhost.
";
        assert_eq!(out, want, "{shell:?}");
    }
}
