//! net-snmp's own agent, v1 to v3: found by discovery, and Central's counters are what `snmpget` says.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use farwatch_tests::checker::RawSeries;
use farwatch_tests::world::{POLL, World};
use farwatch_tests::{eventually, free_udp_and_tcp_port};

const SOON: Duration = Duration::from_secs(90);

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `snmpd` on one address, with these lines of configuration.
fn snmpd(dir: &Path, address: &str, port: u16, name: &str, lines: &str) -> Option<Agent> {
    let conf = dir.join(format!("{name}.conf"));
    std::fs::write(
        &conf,
        format!("sysName {name}\nsysLocation rack 1\n{lines}\n"),
    )
    .expect("a file in a folder of our own");
    let program = ["/usr/sbin/snmpd", "/usr/local/sbin/snmpd"]
        .into_iter()
        .find(|path| Path::new(path).exists())?;
    let child = Command::new(program)
        .args(["-f", "-Lo", "-C", "-c"])
        .arg(&conf)
        .args([
            "-p",
            &dir.join(format!("{name}.pid")).display().to_string(),
            &format!("udp:{address}:{port}"),
        ])
        .env("MIBS", "")
        .env("SNMP_PERSISTENT_DIR", dir.join(format!("{name}.state")))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    Some(Agent(child))
}

/// One counter as net-snmp's own tool reads it.
fn snmpget(auth: &[&str], at: &str, oid: &str) -> Option<u64> {
    let output = Command::new("snmpget")
        .args(["-OqvU", "-t", "2"])
        .args(auth)
        .args([at, oid])
        .env("MIBS", "")
        .output()
        .ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn net_snmp_agents_are_found_by_every_version_and_their_counters_are_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_udp_and_tcp_port().unwrap();
    let agents = [
        ("127.31.60.11", "plain", "rocommunity public\n"),
        (
            "127.31.60.12",
            "secret",
            "createUser monitor SHA-256 authsecret1 AES privsecret1\nrouser monitor authPriv\n",
        ),
        (
            "127.31.60.13",
            "signed",
            "createUser signer SHA-256 authsecret2\nrouser signer authNoPriv\n",
        ),
        // SNMPv1 and nothing later.
        (
            "127.31.60.14",
            "old",
            "com2sec reader default public\ngroup old v1 reader\nview all included .1\n\
             access old \"\" v1 noauth exact all none none\n",
        ),
        // Shows its name and nothing else; the second community is the test's own.
        (
            "127.31.60.15",
            "narrow",
            "view name included .1.3.6.1.2.1.1\nrocommunity public default -V name\nrocommunity tests\n",
        ),
    ];
    let mut running = Vec::new();
    for (address, name, lines) in agents {
        let Some(agent) = snmpd(dir.path(), address, port, name, lines) else {
            println!("left out: no snmpd here (Debian's snmpd)");
            return;
        };
        running.push(agent);
    }
    let credentials = [
        "--credential-v3",
        "private=monitor:SHA-256:authsecret1:AES-128:privsecret1",
        "--credential-v3",
        "signed=signer:SHA-256:authsecret2",
    ];
    let mut world = World::start_with(60, port, &credentials, |site| site.devices(1))
        .await
        .unwrap();
    let devices = world.devices_up(6, SOON).await;
    let device = |address: &str| {
        devices
            .iter()
            .find(|d| d["address"] == address)
            .unwrap_or_else(|| panic!("{address} is not there"))
            .clone()
    };
    assert_eq!(
        (
            device("127.31.60.11")["name"].as_str(),
            device("127.31.60.11")["snmp"].as_str()
        ),
        (Some("plain"), Some("v2c"))
    );
    assert_eq!(
        (
            device("127.31.60.12")["name"].as_str(),
            device("127.31.60.12")["snmp"].as_str()
        ),
        (Some("secret"), Some("v3"))
    );
    assert_eq!(
        (
            device("127.31.60.13")["name"].as_str(),
            device("127.31.60.13")["snmp"].as_str()
        ),
        (Some("signed"), Some("v3"))
    );

    assert_eq!(device("127.31.60.14")["snmp"], "v1");
    assert_eq!(device("127.31.60.15")["interfaces"], 0);

    // Why a device speaks what it speaks is told, credential by credential.
    let path = format!("/sites/{}/discovery/addresses", world.place.site);
    eventually(SOON, "each credential's outcome is told", || async {
        let addresses = world.central.list(&path).await;
        let addresses = addresses.map_err(|error| error.to_string())?;
        let old = addresses
            .iter()
            .find(|one| one["address"] == "127.31.60.14")
            .ok_or("the address is not there")?;
        let outcome = |name: &str| {
            let mut attempts = old["attempts"].as_array().into_iter().flatten();
            attempts
                .find(|attempt| attempt["credential_name"] == name)
                .map(|attempt| attempt["outcome"].to_string())
        };
        match (outcome("core"), outcome("public"), outcome("older")) {
            (Some(core), Some(public), Some(older)) if core != older && public != older => Ok(()),
            _ => Err(old.to_string()),
        }
    })
    .await;

    // What has nothing to read is left in peace: two or three questions a poll.
    let packets = || {
        let at = format!("127.31.60.15:{port}");
        snmpget(&["-v2c", "-c", "tests"], &at, "1.3.6.1.2.1.11.1.0").unwrap()
    };
    let (before, since) = (packets(), Instant::now());
    eventually(SOON, "a few polls have gone by", || async {
        if since.elapsed() > POLL * 5 {
            Ok(())
        } else {
            Err("not yet")
        }
    })
    .await;
    let asked = packets() - before;
    assert!((5..60).contains(&asked), "{asked} questions in five polls");

    // ifHCInOctets of the loopback interface moves with every packet of this test: it must lie between two looks of snmpget.
    for (address, auth) in [
        ("127.31.60.11", &["-v2c", "-c", "public"][..]),
        (
            "127.31.60.12",
            &[
                "-v3",
                "-u",
                "monitor",
                "-l",
                "authPriv",
                "-a",
                "SHA-256",
                "-A",
                "authsecret1",
                "-x",
                "AES",
                "-X",
                "privsecret1",
            ],
        ),
        (
            "127.31.60.13",
            &[
                "-v3",
                "-u",
                "signer",
                "-l",
                "authNoPriv",
                "-a",
                "SHA-256",
                "-A",
                "authsecret2",
            ],
        ),
    ] {
        let id = device(address)["id"].as_str().unwrap().to_owned();
        let (at, oid) = (format!("{address}:{port}"), "1.3.6.1.2.1.31.1.1.1.6.1");
        let before = snmpget(auth, &at, oid).expect("snmpget reads the counter");
        eventually(SOON, "Central's counter has passed snmpget's", || async {
            let shown = counter(&world, &id).await?;
            if shown >= before {
                Ok(())
            } else {
                Err(format!("{shown} is below {before}"))
            }
        })
        .await;
        let shown = counter(&world, &id).await.unwrap();
        let after = snmpget(auth, &at, oid).unwrap();
        assert!(
            before <= shown && shown <= after,
            "{address}: {before} ≤ {shown} ≤ {after}"
        );
    }
    let found = world.check_counters(false).await.unwrap();
    assert_eq!(found.problems, Vec::<String>::new());
    world.end();
    drop(running);
}

/// The loopback interface's `ifHCInOctets` as Central has it: the newest anchor plus every increase since.
async fn counter(world: &World, device: &str) -> Result<u64, String> {
    let interfaces = world
        .central
        .list(&format!("/devices/{device}/interfaces"))
        .await
        .map_err(|error| error.to_string())?;
    let lo = interfaces
        .iter()
        .find(|interface| interface["if_index"] == 1)
        .ok_or("no interface 1")?;
    let id = lo["id"].as_str().ok_or("no id")?;
    let path = format!("/metrics/range?device={device}&metric=ifHCInOctets&instance={id}&raw=true");
    let range = world
        .central
        .get(&path)
        .await
        .map_err(|error| error.to_string())?;
    let raw = RawSeries::read("lo", &range["series"][0]);
    let (from, start, _) = raw.anchors.last().ok_or("no anchor")?;
    Ok(raw
        .increases
        .iter()
        .filter(|(at, ..)| at > from)
        .fold(*start, |sum, (.., increase)| {
            sum.wrapping_add(increase.cast_unsigned())
        }))
}
