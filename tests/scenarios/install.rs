//! The command that Central shows to technicians, and its script's corners, run as root on a copy-on-write view of this
//! machine.
//!
//! Where that cannot be made (no root, no overlay) each test says so and passes.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};

use farwatch_tests::{Kill, central::Central};

const SCRIPT: &str = include_str!("../../central/src/install.sh");
const UNIT: &str = include_str!("../../examples/systemd/farwatch-probe.service");
/// Stands in for the probe: says who ran it how, and leaves what joining leaves.
const PROBE: &str = "#!/bin/sh\n\
    echo \"ran as $(id -un): $*\"\n\
    [ \"$1\" = join ] && umask 077 && : >/var/lib/farwatch-probe/certificate.pem\n\
    exit 0\n";
const WRONG_SUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";

#[tokio::test(flavor = "multi_thread")]
async fn the_command_that_central_shows_installs_its_own_program_and_joins() {
    let dir = tempfile::tempdir().unwrap();
    let mut central = Central::start(&dir.path().join("central")).await.unwrap();
    let place = central
        .place("Kestrel", &["10.99.0.0/24"], 161, &[])
        .unwrap();
    let made = central
        .cli(&["token", "create", "--site", &place.site])
        .unwrap();
    let command = made["command"].as_str().unwrap();
    assert!(command.starts_with("curl "), "{command}");
    // Whoever changes the script on its way is found out, too.
    let changed = command.replacen(
        "install.sh &&",
        "install.sh && echo >>/tmp/farwatch-install.sh &&",
        1,
    );
    let look = format!(
        "mount -t tmpfs none /tmp; rm -rf /run/systemd; {changed}; echo changed $?; {command}; echo status $?; \
         cmp /usr/local/bin/farwatch-probe {} && echo the same; \
         runuser -u farwatch-probe -- farwatch-probe check --data-dir /var/lib/farwatch-probe",
        farwatch_tests::binary("farwatch-probe").unwrap().display()
    );
    let Some(seen) = tokio::task::spawn_blocking(move || in_a_copy(None, &look))
        .await
        .unwrap()
    else {
        return;
    };
    assert!(seen.contains("changed 1"), "{seen}");
    assert!(
        seen.contains("status 0") && seen.contains("the same"),
        "{seen}"
    );
    let probes = central.list("/probes").await.unwrap();
    assert_eq!(probes.len(), 1, "joined once: {probes:?}");
    central.end(Kill::Politely);
}

#[test]
fn another_program_than_the_script_names_is_not_installed() {
    let look = "sh /root/install.sh fwj1_token; echo status $?; \
        ls /usr/local/bin/farwatch-probe /etc/farwatch /var/lib/farwatch-probe; id farwatch-probe";
    let Some(seen) = on_a_copy(WRONG_SUM, look) else {
        return;
    };
    assert!(seen.contains("nothing was changed"), "{seen}");
    assert!(seen.contains("status 1"), "{seen}");
    assert_eq!(
        seen.matches("No such file or directory").count(),
        3,
        "{seen}"
    );
    assert!(seen.contains("no such user"), "{seen}");
}

#[test]
fn the_probe_joins_as_its_own_user_and_only_it_can_read_its_data() {
    let Some(seen) = on_a_copy(
        &sha256(PROBE),
        "sh /root/install.sh --name 'the box' fwj1_token; echo status $?; \
         stat -c '%n %a %U' /usr/local/bin/farwatch-probe /etc/farwatch /var/lib/farwatch-probe; \
         sh /root/install.sh fwj1_token; echo status $?",
    ) else {
        return;
    };
    let joined =
        "ran as farwatch-probe: join fwj1_token --data-dir /var/lib/farwatch-probe --name the box";
    assert!(seen.contains(joined), "{seen}");
    assert!(seen.contains("status 0"), "{seen}");
    assert!(
        seen.contains("/usr/local/bin/farwatch-probe 755 root"),
        "{seen}"
    );
    assert!(seen.contains("/etc/farwatch 755 root"), "{seen}");
    assert!(
        seen.contains("/var/lib/farwatch-probe 700 farwatch-probe"),
        "{seen}"
    );
    assert!(
        seen.contains("has joined already") && seen.contains("status 1"),
        "a second time is refused: {seen}"
    );
}

#[test]
fn without_systemd_it_says_what_to_run_and_with_it_the_unit_is_started() {
    let Some(seen) = on_a_copy(
        &sha256(PROBE),
        "rm -rf /run/systemd; sh /root/install.sh fwj1_token; \
         mkdir -p /run/systemd/system; printf '#!/bin/sh\\necho \"systemctl $*\"\\n' >/usr/local/sbin/systemctl; \
         chmod +x /usr/local/sbin/systemctl; \
         sh /root/install.sh; echo status $?; cat /etc/systemd/system/farwatch-probe.service",
    ) else {
        return;
    };
    assert!(
        seen.contains("has no systemd") && seen.contains("setcap cap_net_raw+ep"),
        "{seen}"
    );
    assert!(
        seen.contains("systemctl restart farwatch-probe.service"),
        "{seen}"
    );
    assert!(seen.contains("status 0"), "{seen}");
    assert!(seen.contains(UNIT.trim_end()), "{seen}");
}

#[test]
fn a_script_without_a_program_for_this_machine_or_with_other_arguments_is_refused() {
    let Some(seen) = on_a_copy(
        "",
        "sh /root/install.sh fwj1_token; sh /root/install.sh reboot",
    ) else {
        return;
    };
    assert!(seen.contains("has no probe for"), "{seen}");
    assert!(seen.contains("usage:"), "{seen}");
}

/// As [`in_a_copy`], with the install script there as Central serves it, with this checksum for the program (none if
/// empty), which comes from a server of our own.
fn on_a_copy(sum: &str, script: &str) -> Option<String> {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else {
                return;
            };
            let mut request = [0; 4096];
            let _ = connection.read(&mut request);
            let head = format!("HTTP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", PROBE.len());
            let _ = connection.write_all(format!("{head}{PROBE}").as_bytes());
        }
    });
    let sums: String = ["x86_64", "aarch64"]
        .map(|arch| format!("  {arch}) sum={sum} ;;\n"))
        .concat();
    let install = SCRIPT
        .replace("@CONSOLE@", &url)
        .replace("@CHECKSUMS@\n", &sums)
        .replace("@UNIT@\n", UNIT);
    in_a_copy(Some(&install), script)
}

/// Runs a script as root where `/` can be written without being changed; gives all that it printed.
fn in_a_copy(install: Option<&str>, script: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(
        folder.path().join("install.sh"),
        install.unwrap_or_default(),
    )
    .expect("written");
    std::fs::write(folder.path().join("script.sh"), script).expect("written");
    let enter = "set -e; mount -t tmpfs none /mnt; mkdir /mnt/upper /mnt/work /mnt/root; \
        mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root; \
        mount --bind /proc /mnt/root/proc; mount --bind /dev /mnt/root/dev; \
        mkdir -p /mnt/root/root; cp \"$1\"/install.sh \"$1\"/script.sh /mnt/root/root/; \
        rm -f /mnt/root/usr/local/bin/farwatch-probe; rm -rf /mnt/root/etc/farwatch /mnt/root/var/lib/farwatch-probe; \
        chroot /mnt/root userdel farwatch-probe 2>/dev/null || true; \
        echo entered; exec chroot /mnt/root sh /root/script.sh 2>&1";
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", enter, "enter"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .output();
    let printed = output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default();
    let Some(printed) = printed.strip_prefix("entered\n") else {
        eprintln!("skipped: this needs root and overlay mounts");
        return None;
    };
    Some(printed.to_owned())
}

fn sha256(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
