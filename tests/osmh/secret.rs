//! The agents' install key: on no screen, in no argument, environment, journal or checklist, whatever goes wrong.
//!
//! Why it exists: it lets any machine in. The document writes it where anybody may read it, and leaves it there.

use super::osmh::{Site, skipped};
use std::fs;

const KEY: &str = "only-in-here-23";

/// Looks, whenever one of these is run, whether any process has the key in its arguments or its environment.
fn watched(site: &Site, tool: &str, then: &str) {
    let dir = site.dir.display();
    let look = format!(
        "grep -lsaF -f {dir}/key /proc/[0-9]*/cmdline /proc/[0-9]*/environ >>{dir}/leaked\n: >>{dir}/watched\n"
    );
    site.tool(tool, &format!("{look}{then}\n"));
}

#[test]
fn the_install_key_is_nowhere_but_in_the_file_that_the_agent_takes() {
    if skipped() {
        return;
    }
    let site = Site::bare();
    let dir = site.dir.display();
    fs::write(site.dir.join("key"), format!("{KEY}\n")).expect("the folder is ours");
    let path = site.world.dir.join("hawiz.toml");
    let text = fs::read_to_string(&path).expect("it was written");
    fs::write(&path, format!("{text}[secrets]\nmacs_key = [\"sed\", \"\", \"{dir}/key\"]\n")).expect("it is ours");
    fs::write(site.world.dir.join("answers.toml"), "[manual]\n\"setup/create-the-profile/profile\" = \"done\"\n")
        .expect("the folder is ours");
    let mut said = Vec::new();
    let mut hawiz = |args: &[&str], code: i32| {
        let ended = site.world.hawiz(args).is(code);
        said.push(format!("{args:?}\n{}{}", ended.out, ended.err));
    };
    // What writes the file is run while the key is on its way; the agent says all it was given, and fails.
    watched(&site, "cat", "exec /bin/cat \"$@\"");
    watched(&site, "agent-setup", "/bin/cat \"${1#opts=}\"; /bin/cat \"${1#opts=}\" >&2; exit 3");
    let go = ["setup", "--on", "StationA", "--answers", "answers.toml"];
    for format in ["text", "md", "sh", "json"] {
        hawiz(&["plan", "setup", "--on", "StationA", "--format", format], 0);
        hawiz(&[&go[..], &["--dryrun", "--format", format]].concat(), 0);
    }
    hawiz(&[&go[..], &["--yes", "-v", "-v"]].concat(), 6);
    watched(&site, "agent-setup", &format!("/bin/cat \"${{1#opts=}}\"; echo {} >{dir}/agent", std::process::id()));
    hawiz(&["resume", "--yes", "--answers", "answers.toml", "--output", "json"], 0);
    hawiz(&["runs"], 0);
    hawiz(&["show"], 0);
    hawiz(&[&go[..], &["--yes"]].concat(), 0);
    assert!(site.dir.join("watched").exists(), "nothing was looked at while it ran");
    assert_eq!(fs::read_to_string(site.dir.join("leaked")).expect("it was looked at"), "");
    for one in &said {
        assert!(!one.contains(KEY), "{one}");
    }
    assert!(said.iter().any(|s| s.contains("ManagementAgentInstallKey = ***")), "what the agent said is shown, masked");
    // Neither in the journals, nor in what is kept on the nodes; and the file is gone.
    for (path, bytes) in site.world.picture("") {
        assert!(!String::from_utf8_lossy(&bytes).contains(KEY), "the key is in {}", path.display());
    }
    assert!(!site.world.dir.join("input.rsp").exists(), "the key still lies there");
}
