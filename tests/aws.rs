//! The playbook for Pacemaker on AWS without a cluster: what is planned, and how the cluster's own words are read.
//!
//! Why it exists: the lab (`tests/lab_aws.rs`) drives the real thing, in Debian's version and formatting only. Here are RHEL's
//! plans, XML as another version may write it, and what must never stand in a command.

mod support;

use std::process::{Command, Stdio};
use support::World;

const PROCEDURES: [(&str, &[&str]); 11] = [
    ("install", &[]),
    ("create", &[]),
    ("fencing", &[]),
    ("fencing-test", &["--on", "ip-10-0-0-58"]),
    ("resources", &[]),
    ("failover", &["--from", "ip-10-0-0-48"]),
    ("failover", &["--from", "ip-10-0-0-48", "--unplanned"]),
    ("back", &["--on", "ip-10-0-0-48"]),
    ("shared-block", &[]),
    ("image", &[]),
    ("status", &[]),
];

fn example(args: &[&str]) -> String {
    let out = Command::new(env!("CARGO_BIN_EXE_hawiz"))
        .args(["--site", "examples/rhel-ha-aws/hawiz.toml", "--color", "never"])
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("hawiz was built for this test");
    assert!(out.status.success(), "{args:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

#[test]
fn every_procedure_is_planned_and_prints_as_a_checklist_whose_commands_a_shell_accepts() {
    for (procedure, args) in PROCEDURES {
        let sheet = example(&[&["plan", procedure], args, &["--format", "md"]].concat());
        let mut blocks = 0;
        for block in sheet.split("```").skip(1).step_by(2) {
            // Inside a list a fence is indented, and so is what stands in it.
            let code: String = block.lines().skip(1).map(|l| format!("{}\n", l.trim_start())).collect();
            let out = Command::new("sh").args(["-n", "-c", &code]).output().expect("there is sh");
            assert!(out.status.success(), "{procedure}:\n{code}{}", String::from_utf8_lossy(&out.stderr));
            blocks += 1;
        }
        assert!(blocks > 3 && sheet.contains("- [ ]"), "{procedure}:\n{sheet}");
    }
}

#[test]
fn no_cluster_is_forced_and_no_key_stands_among_arguments() {
    for (procedure, args) in PROCEDURES {
        let script = example(&[&["plan", procedure], args, &["--format", "sh"]].concat());
        for line in script.lines() {
            let forced = line.contains("--force") && !line.trim_start().starts_with('#');
            assert!(!forced || line.contains("pcs stonith confirm"), "{procedure}: {line}");
            assert!(!line.contains("access_key=") && !line.contains("hacluster -p"), "{procedure}: {line}");
        }
    }
}

#[test]
fn rhel_keeps_the_repositories_that_the_packages_need_and_who_pays_aws_keeps_those_of_aws() {
    let own = example(&["plan", "install"]);
    for wanted in ["baseos", "appstream", "highavailability"] {
        assert!(own.contains(&format!("Enable rhel-8-for-x86_64-{wanted}-rpms")), "{own}");
    }
    assert!(!own.contains("--disable=\\*") && !own.contains("apt-get"), "{own}");
    let (repositories, removal) =
        (own.find("Enable rhel-8").expect("there"), own.find("Remove rh-amazon").expect("there"));
    assert!(repositories < removal, "the old ones go when the new ones are there");
    let aws = example(&["plan", "install", "--set", "subscription=rhui"]);
    assert!(!aws.contains("subscription-manager") && !aws.contains("rh-amazon"), "{aws}");
}

/// A node whose `crm_mon` prints this.
fn cluster(xml: &str) -> World {
    let world = World::new("");
    let dir = world.dir.display().to_string();
    let playbook = concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks/rhel-ha-aws.toml");
    world.put("xml", xml);
    world.put(
        "hawiz.toml",
        &format!(
            "playbook = \"{playbook}\"\n[inputs]\ncluster = \"c\"\nregion = \"us-east-1\"\nvip = \"10.0.0.68\"\n\
             [nodes.n1]\nvia = [\"env\", \"PATH={dir}/bin:/usr/bin:/bin\", \"sh\"]\nstate = \"{dir}/state/n1\"\n"
        ),
    );
    std::fs::create_dir(world.dir.join("bin")).expect("the folder is ours");
    for (name, body) in [
        ("crm_mon", format!("cat {dir}/xml")),
        ("systemctl", "echo ActiveState=active".into()),
        ("crm_resource", format!("echo \"$*\" >>{dir}/asked; sed -i '/<failure /d' {dir}/xml")),
        ("ip", "echo '2: eth0    inet 10.0.0.68/24 scope global secondary eth0'".into()),
    ] {
        let path = format!("bin/{name}");
        world.put(&path, &format!("#!/bin/sh\n{body}\n"));
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(world.dir.join(path), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    }
    world
}

/// As `crm_mon` has it; `%NODE` is what else is said of n1.
const XML: &str = r#"<?xml version="1.0"?>
<pacemaker-result api-version="2.3" request="crm_mon --output-as=xml"><summary>
 <current_dc present="true" version="2.0.3" name="n1" id="1" with_quorum="true"/>
 <cluster_options stonith-enabled="true"/></summary>
<nodes><node name="n10" id="2" online="false" standby="false" pending="false" unclean="false"/><node name="n1"
   id="1" %NODE/></nodes>
<resources><resource id="clusterfence" resource_agent="stonith:fence_aws" role="Started" active="true" failed="false" nodes_running_on="1">
<node name="n1" id="1" cached="true"/></resource>
<group id="networking-group" number_resources="3"><resource id="privip" role="Started" active="true" failed="false"><node name="n1" id="1"/></resource><resource id="vip" role="Started" active="true" failed="false"><node name="n1" id="1"/></resource>
<resource id="elastic" %ELASTIC</resource></group></resources>
<node_attributes><node name="n10"/></node_attributes></pacemaker-result>
"#;
const WELL: &str = r#"online="true" standby="false" pending="false" unclean="false""#;
const STARTED: &str = r#"role="Started" active="true" failed="false"><node name="n1" id="1"/>"#;

fn status(node: &str, elastic: &str) -> (Option<i32>, String) {
    let xml = XML.replace("%NODE", node).replace("%ELASTIC", elastic);
    let ended = cluster(&xml).hawiz(&["check", "status"]);
    (ended.code, ended.out + &ended.err)
}

#[test]
fn the_state_of_the_cluster_is_read_from_xml_however_its_lines_are_broken() {
    let (code, said) = status(WELL, STARTED);
    assert_eq!(code, Some(0), "{said}");
    for (node, word) in [
        (r#"online="true" standby="false" pending="true" unclean="false""#, "n1: pending"),
        (r#"online="false" standby="false" pending="false" unclean="true""#, "n1: unclean"),
        (r#"online="false" standby="false" pending="false" unclean="false""#, "n1: offline"),
    ] {
        let (code, said) = status(node, STARTED);
        assert!(code == Some(4) && said.contains(word), "{word}: {said}");
    }
    // On standby it is a member all the same.
    let (code, said) = status(&WELL.replace(r#"standby="false""#, r#"standby="true""#), STARTED);
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn a_group_that_is_spread_or_stopped_is_not_held_by_anybody() {
    let spread = STARTED.replace(r#"name="n1""#, r#"name="n10""#);
    let (code, said) = status(WELL, &spread);
    assert!(code == Some(4) && said.contains("elastic runs on n10, the others on n1"), "{said}");
    let (code, said) = status(WELL, r#"role="Stopped" active="false" failed="false">"#);
    assert!(code == Some(4) && said.contains("elastic runs nowhere"), "{said}");
    let (code, said) = status(WELL, &STARTED.replace(r#"failed="false""#, r#"failed="true""#));
    assert!(code == Some(4) && said.contains("elastic runs nowhere"), "{said}");
}

#[test]
fn only_what_failed_of_the_fence_device_is_forgotten_when_it_is_to_run_again() {
    for (failed, asked) in [
        ("clusterfence_start_0", "--cleanup --resource clusterfence\n"),
        ("vip_monitor_10000", ""),
        ("clusterfence2_start_0", ""),
    ] {
        let failures = format!(
            "<failures>\n<failure op_key=\"{failed}\" node=\"n10\" exitstatus=\"error\"/>\n</failures></pacemaker-result>"
        );
        let xml = XML.replace("%NODE", WELL).replace("%ELASTIC", STARTED).replace("</pacemaker-result>", &failures);
        let world = cluster(&xml);
        let ended = world.hawiz(&["run", "fence-device", "--yes"]);
        assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
        let told = std::fs::read_to_string(world.dir.join("asked")).unwrap_or_default();
        assert_eq!(told, asked, "{failed}");
    }
}
