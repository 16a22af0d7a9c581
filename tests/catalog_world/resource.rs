//! OCF agents: what each exit code is taken for, and what an agent finds in its environment.
//!
//! Why it exists: an agent that could not look must never count as a resource that does not run. The agent here is a few
//! lines that do as they are told; the real ones run in the lab.

use super::{World, done, look, recipe, shells, undo};
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// An agent in the world's folder that writes down its environment and ends with the code in the file ACTION.
fn agent(w: &World) -> String {
    let file = w.file(
        "acme/queue",
        "#!/bin/sh\ncd \"${0%/*}/..\" || exit 99\necho \"$1\" >>trace\nenv | grep ^OCF_ | sort >env\n\
         read -r code words <\"$1\" || exit 3\n[ -z \"$words\" ] || echo \"$words\" >&2\nexit \"$code\"\n",
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("executable");
    file.display().to_string()
}

#[test]
fn only_seven_is_no_and_only_zero_and_eight_are_yes() {
    for shell in shells() {
        let w = World::new(shell);
        let path = agent(&w);
        let active = look(&format!("resource-active = {{ agent = '{path}' }}"));
        let stopped = done(&recipe(&format!("resource-stop = {{ agent = '{path}' }}")));
        for (said, runs, is_stopped, words) in [
            ("0", 0, 1, "queue runs"),
            ("8 by vote", 0, 1, "queue runs, promoted"),
            ("7 nobody there", 1, 0, "queue does not run"),
            ("1", 126, 126, "queue monitor: 1, error"),
            ("2", 126, 126, "queue monitor: 2, wrong arguments"),
            ("4", 126, 126, "queue monitor: 4, not allowed"),
            ("5 no tool", 126, 126, "queue monitor: 5, not installed: no tool"),
            ("6 ocf-exit-reason:no name", 126, 126, "queue monitor: 6, not configured: no name"),
            ("9", 126, 126, "queue monitor: 9, failed as promoted"),
            ("127", 126, 126, "queue monitor: 127, not a code of OCF"),
            ("190", 126, 126, "queue monitor: 190, running, degraded"),
        ] {
            w.file("monitor", &format!("{said}\n"));
            w.expect(&active, runs, words);
            w.expect(&stopped, is_stopped, words);
        }
        fs::remove_file(w.dir.join("monitor")).expect("it was there");
        w.expect(&active, 126, "queue monitor: 3, not implemented");
        w.expect(&look("resource-active = { agent = 'ocf:hawiz:none' }"), 126, "there is no agent");
    }
}

#[test]
fn an_agent_finds_its_parameters_and_is_asked_whether_they_fit_before_it_starts() {
    for shell in shells() {
        let w = World::new(shell);
        let path = agent(&w);
        let r = recipe(&format!(
            "resource = {{ agent = '{path}', instance = 'q1', params = {{ opt = '-w  -t \"60\"', at = 7, none = '' }} }}"
        ));
        w.file("start", "0\n");
        w.file("stop", "0\n");
        w.expect(&r.run.lossy(), 0, "");
        assert_eq!(w.read("trace"), "validate-all\nstart\n", "an agent without `validate-all` is let through");
        let env = "OCF_CHECK_LEVEL=0\nOCF_RA_VERSION_MAJOR=1\nOCF_RA_VERSION_MINOR=1\nOCF_RESKEY_CRM_meta_interval=0\n\
                   OCF_RESKEY_at=7\nOCF_RESKEY_opt=-w  -t \"60\"\nOCF_RESOURCE_INSTANCE=q1\nOCF_RESOURCE_PROVIDER=acme\n\
                   OCF_RESOURCE_TYPE=queue\nOCF_ROOT=/usr/lib/ocf\n";
        assert_eq!(w.read("env"), env);
        w.expect(&undo(&r), 0, "");
        assert_eq!(w.read("env"), env);

        fs::remove_file(w.dir.join("trace")).expect("it was there");
        w.file("validate-all", "6 ocf-exit-reason:no such place\n");
        w.expect(&r.run.lossy(), 125, "queue validate-all: 6, not configured: no such place");
        assert_eq!(w.read("trace"), "validate-all\n", "and nothing is started");
        w.file("validate-all", "0\n");
        w.file("start", "1 busy\n");
        w.expect(&r.run.lossy(), 1, "busy");
    }
}
