//! The same playbook where OCI's load balancer stands in front: what the CLI is told, and what is believed of what it says.
//!
//! Why it exists: there is no such load balancer to be had here, so the CLI is a stand-in that knows the options that are used, and
//! no others.

use super::osmh::{BACKENDS, Site, skipped};
use super::{BACK, DRAIN, LOST, came};
use std::fs;
use std::path::PathBuf;

const A: &str = "127.0.0.2";
const B: &str = "127.0.0.3";

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

/// OCI's load balancer, as its stand-in has it.
struct Oci(Site);

impl Oci {
    fn new() -> Oci {
        let oci = Oci(Site::new());
        oci.0.hawiz_toml("oci", "lb_ocid = \"ocid1.loadbalancer.oc1..x\"\n");
        oci.tool("");
        for backend in BACKENDS {
            fs::create_dir_all(oci.0.dir.join("oci").join(backend)).expect("the folder is ours");
        }
        for ip in [A, B] {
            oci.set(ip, "false false false 3");
        }
        oci
    }
    /// The CLI; it does this first.
    fn tool(&self, first: &str) {
        self.0.tool("oci", &format!("here={}/oci\n{first}{OCI}", self.0.dir.display()));
    }
    fn paths(&self, ip: &str) -> [PathBuf; 3] {
        let dir = self.0.dir.join("oci");
        [0, 1, 2].map(|i| dir.join(BACKENDS[i]).join(format!("{ip}:{}", self.0.ports[i])))
    }
    /// Drain, offline, backup and weight of a station, in all backend sets.
    fn set(&self, ip: &str, to: &str) {
        for path in self.paths(ip) {
            fs::write(path, format!("{to}\n")).expect("the folder is ours");
        }
    }
    fn is(&self, ip: &str) -> [String; 3] {
        self.paths(ip).map(|p| fs::read_to_string(p).expect("it is there").trim().to_string())
    }
    fn dies(&self, ip: &str) -> PathBuf {
        let dead = self.0.dir.join(format!("oci/{ip}.dead"));
        fs::write(&dead, "").expect("the folder is ours");
        dead
    }
}

#[test]
fn in_ocis_load_balancer_weight_and_backup_stay_and_the_last_station_is_never_drained() {
    if skipped() {
        return;
    }
    let oci = Oci::new();
    let hawiz = |args: &[&str]| oci.0.world.hawiz(args);
    let dead = oci.dies(B);
    let refused = hawiz(&DRAIN).is(4);
    assert!(refused.out.contains("no other station is up in be_proxy"), "{}", refused.out);
    assert_eq!(oci.is(A), ["false false false 3"; 3]);

    fs::remove_file(&dead).expect("it was written");
    hawiz(&DRAIN).is(0);
    assert_eq!(oci.is(A), ["true false false 3"; 3]);
    assert_eq!(came(&hawiz(&DRAIN).is(0), "Done"), [""; 0]);
    hawiz(&["status"]).is(4);
    hawiz(&BACK).is(0);
    assert_eq!(oci.is(A), ["false false false 3"; 3]);
    hawiz(&["status"]).is(0);

    oci.dies(A);
    hawiz(&LOST).is(0);
    assert_eq!(oci.is(A), ["false true false 3"; 3], "it does not come back by itself");
    assert_eq!(oci.is(B), ["false false false 3"; 3]);
    // A CLI that cannot ask is no answer.
    oci.0.tool("oci", "echo 'ServiceError: NotAuthenticated' >&2; exit 1");
    hawiz(&BACK).is(4);
}

#[test]
fn no_station_that_is_drained_offline_or_a_backup_counts_as_another_one_in_ocis_load_balancer() {
    if skipped() {
        return;
    }
    let oci = Oci::new();
    for other in ["true false false 3", "false true false 3", "false false true 3"] {
        oci.set(B, other);
        oci.0.world.hawiz(&DRAIN).is(4).says("no other station is up in be_proxy");
        assert_eq!(
            (oci.is(A), oci.is(B)),
            (["false false false 3"; 3].map(String::from), [other; 3].map(String::from))
        );
    }
}

#[test]
fn a_drain_is_taken_back_at_once_when_somebody_drained_the_other_station_at_the_same_moment() {
    if skipped() {
        return;
    }
    let oci = Oci::new();
    // Somebody at another machine, by the console: B is drained when A's drain has been asked for.
    oci.tool(&format!(
        "case \"$* \" in *' update '*'--drain true '*) for f in $here/*/{B}:*; do echo true false false 3 >\"$f\"; done ;; esac\n"
    ));
    let refused = oci.0.world.hawiz(&DRAIN).is(6);
    assert!(refused.out.contains("no other station is up in be_proxy"), "{}", refused.out);
    assert_eq!(oci.is(A), ["false false false 3"; 3], "nobody is left to serve");
}
