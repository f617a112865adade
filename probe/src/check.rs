//! `farwatch-probe check`: what stands in the way, in plain words, within a quarter of a minute.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use farwatch_shared::clock::Clock;
use farwatch_shared::error::Chain;
use farwatch_shared::link::{
    Alpn, CloseCode, Closed, Credentials, DialError, Dialer, Route, ServerTrust, Transport,
};
use serde::Serialize;
use serde_json::Value;

use crate::cli::say;
use crate::config::Config;
use crate::icmp::{PingConfig, Pinger};
use crate::identity::Identity;
use crate::status;

/// For one address, so that blocked UDP is said in time even when there are several.
const DIAL: Duration = Duration::from_secs(8);
/// For Central's word on the certificate.
const VERDICT: Duration = Duration::from_secs(1);
/// For one name.
const RESOLVE: Duration = Duration::from_secs(4);
/// Less room than this and the spool cannot do its work.
const ROOM_BYTES: u64 = 256 * 1024 * 1024;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// `disk`, `icmp`, `clock`, `identity`, `name`, `udp`, `tcp`, `central`, `probe`, `credential`, `note`.
    pub what: &'static str,
    /// Whether the probe can work so.
    pub ok: bool,
    /// What was found, and what to do when it is not well.
    pub says: String,
}

/// Looks at everything and prints it; exit code 1 when something stands in the way.
///
/// # Errors
/// Only those of printing JSON.
pub async fn show(config: &Config, json: bool, clock: &Clock) -> anyhow::Result<ExitCode> {
    let findings = look(config, clock).await;
    let well = findings.iter().all(|finding| finding.ok);
    if json {
        say(&serde_json::to_string(
            &serde_json::json!({ "ok": well, "findings": findings }),
        )?);
    } else {
        for finding in &findings {
            say(&format!(
                "{} {:<15} {}",
                if finding.ok { "ok     " } else { "PROBLEM" },
                finding.what,
                finding.says
            ));
        }
    }
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Looks at everything.
pub async fn look(config: &Config, clock: &Clock) -> Vec<Finding> {
    let status = status::last(&config.data_dir, clock)
        .filter(|(_, age_ms)| status::is_running(*age_ms))
        .map(|(status, _)| status);
    let mut findings = vec![disk(&config.data_dir), icmp(status.as_ref())];
    match Identity::load(&config.data_dir) {
        Ok(Some(mut identity)) => {
            identity.settle_proxy(&config.proxy);
            findings.extend(certificate(&identity, clock));
            findings.extend(reach(&identity, clock).await);
            findings.extend(running(status.as_ref()));
        }
        Ok(None) => findings.push(problem(
            "identity",
            "this machine has not joined yet: run the join command that the console shows"
                .to_owned(),
        )),
        Err(error) => findings.push(problem("identity", Chain(&error).to_string())),
    }
    findings
}

fn disk(data_dir: &Path) -> Finding {
    match nix::sys::statvfs::statvfs(data_dir) {
        Ok(stat) => {
            let free = stat.blocks_available().saturating_mul(stat.fragment_size());
            let says = format!(
                "{} MiB free in {}",
                free / (1024 * 1024),
                data_dir.display()
            );
            if free >= ROOM_BYTES {
                fine("disk", says)
            } else {
                problem(
                    "disk",
                    format!("{says}: make room, or data is dropped when Central is away"),
                )
            }
        }
        Err(nix::errno::Errno::ENOENT) => problem(
            "disk",
            format!("{} is not there: it is made by joining", data_dir.display()),
        ),
        Err(error) => problem(
            "disk",
            format!("{} cannot be looked at: {error}", data_dir.display()),
        ),
    }
}

/// Whether pings work: as the running probe says, else as this process may.
fn icmp(status: Option<&Value>) -> Finding {
    if status.is_some_and(|status| status["pings"] == true) {
        return fine("icmp", "the running probe sends echo requests".to_owned());
    }
    match Pinger::bind(PingConfig::default()) {
        Ok(pinger) => fine(
            "icmp",
            format!("echo requests may be sent ({:?} socket)", pinger.kind()),
        ),
        Err(error) => problem("icmp", error.to_string()),
    }
}

fn certificate(identity: &Identity, clock: &Clock) -> Vec<Finding> {
    let (now, believed) = (clock.now(), identity.believed(clock));
    let mut findings = Vec::new();
    if believed.since(now) > 60_000 {
        findings.push(problem(
            "clock",
            format!("it says {now}, but it is {believed} at least: set it, or turn on NTP"),
        ));
    } else {
        findings.push(fine("clock", format!("it says {now}")));
    }
    let says = format!(
        "certificate until {}, renewed from {}",
        identity.not_after(),
        identity.renew_after()
    );
    findings.push(if identity.is_expired(clock) {
        problem(
            "identity",
            format!(
                "{says}: it has ended and is renewed at the next connection, up to 90 days later"
            ),
        )
    } else {
        fine("identity", says)
    });
    findings
}

async fn reach(identity: &Identity, clock: &Clock) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut resolved = Vec::new();
    for name in identity.places().into_iter().filter_map(|place| place.udp) {
        match tokio::time::timeout(RESOLVE, tokio::net::lookup_host(name.clone())).await {
            Ok(Ok(found)) => {
                let found: Vec<_> = found.collect();
                let list = found
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ");
                findings.push(fine("name", format!("{name} is {list}")));
                resolved.extend(found);
            }
            Ok(Err(error)) => findings.push(problem(
                "name",
                format!("{name} cannot be resolved ({error}): check this machine's DNS"),
            )),
            Err(_) => findings.push(problem(
                "name",
                format!("{name}: DNS did not answer within {} s", RESOLVE.as_secs()),
            )),
        }
    }
    resolved.dedup();
    let credentials = || identity.credentials();
    let alpn = if identity.is_expired(clock) {
        Alpn::Renew
    } else {
        Alpn::Work
    };
    let over_udp = resolved.into_iter().take(8).map(|address| {
        let route = Route {
            udp: Some(address),
            tcp: None,
            first: Transport::Udp,
            head_start: DIAL,
            deadline: DIAL,
        };
        let to = address.to_string();
        dial(
            route,
            to,
            address.port(),
            alpn,
            credentials(),
            identity.trust(clock),
        )
    });
    let over_tcp = identity.places().into_iter().take(8).map(|place| {
        let (to, port) = (place.tcp.to_string(), place.tcp.port);
        let route = Route {
            udp: None,
            tcp: Some(place.tcp),
            first: Transport::Tcp,
            head_start: DIAL,
            deadline: DIAL,
        };
        dial(route, to, port, alpn, credentials(), identity.trust(clock))
    });
    let (udp, tcp) = futures::join!(
        futures::future::join_all(over_udp),
        futures::future::join_all(over_tcp)
    );
    findings.extend(judge(udp, tcp));
    findings
}

/// One way to Central, tried.
struct Tried {
    reached: bool,
    finding: Finding,
}

async fn dial(
    route: Route,
    to: String,
    port: u16,
    alpn: Alpn,
    credentials: Credentials,
    trust: ServerTrust,
) -> Tried {
    let (what, over) = match route.first {
        Transport::Udp => ("udp", "UDP"),
        Transport::Tcp => ("tcp", "TCP"),
    };
    let failed = |finding| Tried {
        reached: false,
        finding,
    };
    let reached = Dialer::new()
        .reach(&route, alpn, Some(credentials), trust)
        .await;
    match reached.map_err(|unreached| unreached.udp.or(unreached.tcp)) {
        Ok(connection) => {
            let rtt = connection.rtt();
            // Central judges the certificate after the handshake, and then says nothing while all is well.
            if let Ok(closed) = tokio::time::timeout(VERDICT, connection.closed()).await {
                let says = format!("{to} does not let this probe in: {closed}");
                return failed(problem("central", says));
            }
            connection.close(CloseCode::Done, "check");
            let says = format!(
                "Central answers at {to} over {over} ({} ms)",
                rtt.as_millis()
            );
            Tried {
                reached: true,
                finding: fine(what, says),
            }
        }
        Err(None | Some(DialError::Silence(_))) => failed(problem(
            what,
            format!(
                "no answer from {to} within {} s: a firewall on the way blocks {over} port {port}, or Central is down; allow outgoing {over} to it",
                DIAL.as_secs()
            ),
        )),
        Err(Some(DialError::Handshake(Closed::Tls(why)))) if what == "tcp" => failed(problem(
            what,
            format!(
                "somebody else answers as {to}, or opens TLS on the way ({why}): exempt Central from inspection there"
            ),
        )),
        Err(Some(error)) => failed(problem(what, format!("{to}: {}", Chain(&error)))),
    }
}

/// One way is enough: Central may be listed under addresses that only some sites can reach, and TCP is needed only where
/// UDP is blocked.
fn judge(udp: Vec<Tried>, tcp: Vec<Tried>) -> Vec<Finding> {
    let (by_udp, by_tcp) = (
        udp.iter().any(|tried| tried.reached),
        tcp.iter().any(|tried| tried.reached),
    );
    let of = |tried: Tried, note: &str| Finding {
        ok: by_udp || by_tcp || tried.reached,
        says: match tried.reached {
            true => tried.finding.says,
            false => tried.finding.says + note,
        },
        ..tried.finding
    };
    let udp_note = match (by_udp, by_tcp) {
        (false, true) => "; meanwhile TCP is used, which is slower",
        _ => "",
    };
    let tcp_note = match by_udp {
        true => "; it is not needed while UDP works",
        false => "",
    };
    let mut findings: Vec<Finding> = udp.into_iter().map(|tried| of(tried, udp_note)).collect();
    findings.extend(tcp.into_iter().map(|tried| of(tried, tcp_note)));
    findings
}

/// What the running probe says of itself: that it runs, what each credential opens, and what it has to note.
fn running(status: Option<&Value>) -> Vec<Finding> {
    let Some(status) = status else {
        return vec![problem(
            "probe",
            "it does not run: `systemctl start farwatch-probe`, or `farwatch-probe run`".to_owned(),
        )];
    };
    let mut findings = vec![fine(
        "probe",
        format!(
            "it runs, {} of {} devices answer",
            status["devices_up"], status["devices_total"]
        ),
    )];
    for credential in status["credentials"].as_array().into_iter().flatten() {
        let name = credential["name"].as_str().unwrap_or("?");
        let version = credential["version"].as_str().unwrap_or("?");
        let says = match credential["devices"].as_u64() {
            Some(0) | None => format!(
                "{name} ({version}): no device answers to it; the console's discovery page says why, address by address"
            ),
            Some(1) => format!("{name} ({version}): 1 device answers to it"),
            Some(devices) => format!("{name} ({version}): {devices} devices answer to it"),
        };
        findings.push(fine("credential", says));
    }
    let notes = status["notices"].as_array().into_iter().flatten();
    findings.extend(notes.filter_map(|note| Some(fine("note", note.as_str()?.to_owned()))));
    findings
}

const fn fine(what: &'static str, says: String) -> Finding {
    Finding {
        what,
        ok: true,
        says,
    }
}

const fn problem(what: &'static str, says: String) -> Finding {
    Finding {
        what,
        ok: false,
        says,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_machine_that_has_not_joined_is_told_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::load(None, Some(dir.path())).unwrap();
        let findings = look(&config, &Clock::system()).await;
        let identity = findings
            .iter()
            .find(|finding| finding.what == "identity")
            .unwrap();
        assert!(
            !identity.ok && identity.says.contains("run the join command"),
            "{identity:?}"
        );
        assert!(findings.iter().any(|finding| finding.what == "disk"));
    }
}
