//! Two nodes of which one is active, and a fence agent that does what it is told to do.
//!
//! Why it exists: who may take over is decided from what nodes and devices say; here each of them says what a test wants.
//! Invariants: a node's "power" is a file; the agent keeps all that was sent to it; nothing outside the world is touched.

use crate::support::World;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// What is active on a node is the file `active` there; `inactive` looks at that, and at `leftover`.
pub const PLAYBOOK: &str = r#"format = 1
title = "A pair"
[inputs]
w = {}
unit = { default = "" }
password = { kind = "secret" }
[[inactive]]
stage = "Inactive"
  [[inactive.step]]
  name = "is not active"
  check.sh = 'test ! -e "$w/$node/blind" || exit 126; test ! -e "$w/$node/active"'
  [[inactive.step]]
  name = "has nothing left over"
  check.sh = 'test ! -e "$w/$node/leftover"'
  [[inactive.step]]
  name = "the service is stopped"
  if-not.unit = ""
  check.service-inactive = { unit = "{unit}" }
[[deactivate]]
stage = "Give up"
  [[deactivate.step]]
  name = "Stop"
  run.sh = 'echo stop >>"$w/$node/trace"; test ! -e "$w/$node/stubborn"; rm -f "$w/$node/active"'
  done.sh = 'test ! -e "$w/$node/active"'
  undo.sh = 'echo undo-stop >>"$w/$node/trace"; : >"$w/$node/active"'
[[activate]]
stage = "Take over"
  [[activate.step]]
  name = "Prepare"
  run.sh = 'echo prepare >>"$w/$node/trace"; : >"$w/$node/prepared"; if test -e "$w/slow"; then sleep 2; fi'
  done.sh = 'test -e "$w/$node/prepared"'
  undo.sh = 'echo undo-prepare >>"$w/$node/trace"; rm "$w/$node/prepared"'
  [[activate.step]]
  name = "Start"
  exclusive = true
  run.sh = 'echo start >>"$w/$node/trace"; test ! -e "$w/$node/broken"; : >"$w/$node/active"'
  done.sh = 'test -e "$w/$node/active"'
  undo.sh = 'echo undo-start >>"$w/$node/trace"; rm -f "$w/$node/active"'
"#;

/// A program on everybody's PATH.
pub fn program(world: &World, name: &str, text: &str) {
    let dir = world.dir.join("bin");
    fs::create_dir_all(&dir).expect("the folder is ours");
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\nW={}\n{text}", world.dir.display())).expect("the folder is ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("the file is ours");
}

/// Keeps what it reads in `fenced`; does what the file `device-PLUG` says, or works.
const AGENT: &str = r#"
said=$(cat)
printf '%s\n' "$said" | tr '\n' ' ' >>"$W/fenced"
echo >>"$W/fenced"
action=$(printf '%s\n' "$said" | sed -n 's/^action=//p')
plug=$(printf '%s\n' "$said" | sed -n 's/^plug=//p')
does=works
if test -e "$W/device-$plug"; then does=$(cat "$W/device-$plug"); fi
case $action-$does in
off-fails) echo "login refused" >&2; exit 1 ;;
off-hangs) exec sleep 60 ;;
off-lies) exit 0 ;;
off-*) : >"$W/off-$plug"; exit 0 ;;
status-mute) exit 2 ;;
status-errs) echo "timed out" >&2; exit 1 ;;
status-zero) echo "Status: OFF"; exit 0 ;;
status-wakes) if test -e "$W/asked"; then echo "Status: ON"; exit 0; fi; : >"$W/asked"; echo "Status: OFF"; exit 2 ;;
status-*) if test -e "$W/off-$plug"; then echo "Status: OFF"; exit 2; fi; echo "Status: ON"; exit 0 ;;
*) echo "no such action" >&2; exit 1 ;;
esac
"#;

/// A world in which `a` is active; the site file ends with `more`.
pub fn pair(more: &str) -> World {
    let mut world = World::new(PLAYBOOK);
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".into());
    world.env.push(("PATH".into(), format!("{}/bin:{path}", world.dir.display())));
    world.env.push(("HAWIZ_SECRET_PASSWORD".into(), "open-sesame".into()));
    program(&world, "fence_test", AGENT);
    // Nobody answers unless a test says so.
    program(&world, "ping", "test -e \"$W/alive\"\n");
    world.put("w/a/active", "");
    world.site(more);
    world
}

/// One device of `a`.
pub const DEVICE: &str = "[nodes.a.fence]\nagent = \"fence_test\"\noptions = { plug = \"1\", password = \"{password}\" }\ndeadline = \"2s\"\n";

/// The answer to the gate before the power is cut.
pub fn answers(world: &World) {
    world.put("answers.toml", "[gates]\n\"fence/cut-the-power\" = \"a\"\n");
}

/// `a` cannot be reached: its way in is gone.
pub fn unplug(world: &World, more: &str) {
    world.site(more);
    let site = fs::read_to_string(world.dir.join("hawiz.toml")).expect("it was written just now");
    let gone = site.replacen("\"NODE=a\", \"sh\"", "\"NODE=a\", \"false\"", 1);
    world.put("hawiz.toml", &gone);
}
