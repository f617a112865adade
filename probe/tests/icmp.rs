//! The ICMP engine in a network namespace of its own. Skipped, with a printed line, where none can be made.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the bench of tests is test code too"
)]

use std::{net::Ipv4Addr, process::Command, time::Duration};

use farwatch_probe::icmp::{BindError, Pace, PingConfig, PingOutcome, Pinger, SocketKind};

/// Set for the process inside the namespace.
const INSIDE: &str = "FARWATCH_TEST_NAMESPACE";
/// lo answers; 198.51.100.0/24 leads nowhere, in silence; 203.0.113.0/24 has no route.
const NETWORK: &str = "ip link set lo up && ip link add nowhere type veth peer name beyond && \
                       ip addr add 198.51.100.1/24 dev nowhere && ip link set nowhere up && ip link set beyond up";

/// Runs the test `inner` of this file within a new namespace, after `prepare` and behind `wrapper`.
fn inside(inner: &str, prepare: &str, wrapper: &str) {
    let program = std::env::current_exe().unwrap();
    let script = format!(
        "{NETWORK} && {prepare} || exit 99; {wrapper} {} --exact {inner} --ignored",
        program.display()
    );
    let run = Command::new("unshare")
        .args(["-n", "sh", "-c", &script])
        .env(INSIDE, "1")
        .output();
    match run {
        Ok(run) if run.status.success() => {
            assert!(
                String::from_utf8_lossy(&run.stdout).contains("1 passed"),
                "it did run"
            );
        }
        Ok(run) if run.status.code() == Some(101) => {
            panic!(
                "{}{}",
                String::from_utf8_lossy(&run.stdout),
                String::from_utf8_lossy(&run.stderr)
            );
        }
        _ => println!("skipped: no network namespace can be made here"),
    }
}

async fn sweep_tells_the_living_from_the_dead(kind: SocketKind) {
    assert!(
        std::env::var_os(INSIDE).is_some(),
        "only inside the namespace"
    );
    let pinger = Pinger::bind(PingConfig {
        kind: SocketKind::Any,
        ..PingConfig::default()
    })
    .unwrap();
    assert_eq!(pinger.kind(), kind);
    let timeout = Duration::from_millis(400);
    let dead = (2..=250).map(|i| Ipv4Addr::new(198, 51, 100, i));
    let living = (0..2000_u32).map(|i| Ipv4Addr::from(0x7f20_0000 + i));
    let mut sweep = pinger.sweep(dead.chain(living), Pace::FlatOut, timeout);
    let (mut up, mut down) = (0, 0);
    while let Some((address, outcome)) = sweep.next().await {
        match outcome {
            PingOutcome::Reply { rtt } => {
                assert!(address.is_loopback() && rtt < timeout);
                up += 1;
            }
            PingOutcome::Timeout => down += 1,
            PingOutcome::NotSent { .. } => assert!(
                address.is_loopback() && address.octets()[3] == 0,
                "{address}"
            ),
            other @ PingOutcome::Unreachable { .. } => panic!("{address} {other:?}"),
        }
    }
    assert_eq!(down, 249);
    assert!(up >= 1992, "{up}");

    let own = pinger.ping("198.51.100.1".parse().unwrap(), timeout).await;
    assert!(own.is_reply(), "{own:?}");
    let no_route = pinger.ping("203.0.113.9".parse().unwrap(), timeout).await;
    assert!(
        matches!(no_route, PingOutcome::NotSent { .. }),
        "{no_route:?}"
    );
    assert_eq!(pinger.stats().under_way, 0);
}

#[test]
fn a_sweep_is_exact_on_an_unprivileged_socket() {
    let open = "echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range";
    inside(
        "unprivileged_inside",
        open,
        "setpriv --reuid 65534 --regid 65534 --clear-groups",
    );
}

#[tokio::test]
#[ignore = "run by a_sweep_is_exact_on_an_unprivileged_socket"]
async fn unprivileged_inside() {
    sweep_tells_the_living_from_the_dead(SocketKind::Datagram).await;
}

#[test]
fn a_sweep_is_exact_on_a_raw_socket() {
    inside("raw_inside", "true", "");
}

#[tokio::test]
#[ignore = "run by a_sweep_is_exact_on_a_raw_socket"]
async fn raw_inside() {
    sweep_tells_the_living_from_the_dead(SocketKind::Raw).await;
}

#[test]
fn without_permission_the_error_names_both_mends() {
    inside(
        "not_permitted_inside",
        "true",
        "setpriv --reuid 65534 --regid 65534 --clear-groups",
    );
}

#[tokio::test]
#[ignore = "run by without_permission_the_error_names_both_mends"]
async fn not_permitted_inside() {
    let error = Pinger::bind(PingConfig::default()).unwrap_err();
    assert!(matches!(error, BindError::NotPermitted { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("CAP_NET_RAW") && text.contains("ping_group_range"),
        "{text}"
    );
}
