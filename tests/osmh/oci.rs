//! The same playbook where OCI's load balancer stands in front: what the CLI is told, and what is believed of what it says.
//!
//! Why it exists: there is no such load balancer to be had here, so the CLI is a stand-in that knows the options that are used, and
//! no others.

use super::osmh::{BACKENDS, Site, skipped};
use super::{BACK, DRAIN, LOST, came};
use std::fs;

/// A stand-in for the OCI CLI: a backend is a file `SET/IP:PORT` with `DRAIN OFFLINE BACKUP WEIGHT`, a dead one has `IP.dead`.
const OCI: &str = r#"
what="$1 $2 $3"; shift 3; wait=
while [ $# -gt 0 ]; do case $1 in
  --backend-set-name) set_name=$2 ;; --backend-name) name=$2 ;; --drain) drain=$2 ;; --offline) offline=$2 ;;
  --backup) backup=$2 ;; --weight) weight=$2 ;; --wait-for-state) wait=$2 ;;
  --raw-output) set -- "$1" "$@" ;; --load-balancer-id | --query) ;;
  *) echo "no such option: $1" >&2; exit 2 ;; esac; shift 2; done
file=$here/$set_name/$name
case $what in
"lb backend get") cat "$file" ;;
"lb backend-health get") if [ -e "$here/${name%:*}.dead" ]; then echo CRITICAL; else echo OK; fi ;;
"lb backend update") [ -n "$wait" ] && echo "$drain $offline $backup $weight" >"$file" ;;
*) echo "no such command: $what" >&2; exit 2 ;; esac
"#;

#[test]
fn in_ocis_load_balancer_weight_and_backup_stay_and_the_last_station_is_never_drained() {
    if skipped() {
        return;
    }
    let site = Site::new();
    site.hawiz_toml("oci", "lb_ocid = \"ocid1.loadbalancer.oc1..x\"\n");
    site.tool("oci", &format!("here={}/oci{OCI}", site.dir.display()));
    let path = |backend: &str, ip: &str, port: u16| site.dir.join("oci").join(backend).join(format!("{ip}:{port}"));
    for (backend, port) in BACKENDS.iter().zip(site.ports) {
        fs::create_dir_all(site.dir.join("oci").join(backend)).expect("the folder is ours");
        for ip in ["127.0.0.2", "127.0.0.3"] {
            fs::write(path(backend, ip, port), "false false false 3\n").expect("the folder is ours");
        }
    }
    let is = |ip: &str| -> Vec<String> {
        let all =
            BACKENDS.iter().zip(site.ports).map(|(b, p)| fs::read_to_string(path(b, ip, p)).expect("it is there"));
        all.map(|l| l.trim().to_string()).collect()
    };
    let answers = "[manual]\n\"deactivate/drain-target/sessions-by-hand\" = \"done\"\n";
    fs::write(site.world.dir.join("answers.toml"), answers).expect("the folder is ours");
    let drain = [&DRAIN[..], &["--answers", "answers.toml"]].concat();
    let dead = site.dir.join("oci/127.0.0.3.dead");

    fs::write(&dead, "").expect("the folder is ours");
    let refused = site.world.hawiz(&drain).is(4);
    assert!(refused.out.contains("no other station is up in be_proxy"), "{}", refused.out);
    assert_eq!(is("127.0.0.2"), ["false false false 3"; 3]);

    fs::remove_file(&dead).expect("it was written");
    site.world.hawiz(&drain).is(0);
    assert_eq!(is("127.0.0.2"), ["true false false 3"; 3]);
    assert_eq!(came(&site.world.hawiz(&drain).is(0), "Done"), ["No session of StationA is left on here"]);
    site.world.hawiz(&["status"]).is(4);
    site.world.hawiz(&BACK).is(0);
    assert_eq!(is("127.0.0.2"), ["false false false 3"; 3]);
    site.world.hawiz(&["status"]).is(0);

    fs::write(site.dir.join("oci/127.0.0.2.dead"), "").expect("the folder is ours");
    site.world.hawiz(&LOST).is(0);
    assert_eq!(is("127.0.0.2"), ["false true false 3"; 3], "it does not come back by itself");
    assert_eq!(is("127.0.0.3"), ["false false false 3"; 3]);
    // A CLI that cannot ask is no answer.
    site.tool("oci", "echo 'ServiceError: NotAuthenticated' >&2; exit 1");
    site.world.hawiz(&BACK).is(4);
}
