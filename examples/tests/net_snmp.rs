//! The pretend site answers net-snmp's own tools as a real agent does.
//!
//! Without the tools (`apt-get install snmp`) each test says so and passes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use farwatch_examples::kind::Kind;
use farwatch_examples::{Access, AuthProtocol, Column, DeviceSpec, Oid, Site, User, Value};

const V2C: &[&str] = &["-v2c", "-cpublic"];
const V1: &[&str] = &["-v1", "-cpublic"];
const V3: &[&str] = &[
    "-v3",
    "-lauthPriv",
    "-umonitor",
    "-aSHA-256",
    "-Alook-but-do-not-touch",
    "-xAES",
    "-Xbetween-you-and-me",
];

#[tokio::test]
async fn a_v2c_device_is_walked_whole_by_getnext_and_by_getbulk() {
    if !have("snmpwalk") {
        return;
    }
    let site = company().await;
    let switch = site.device(3).socket();
    let by_next = walk("snmpwalk", V2C, switch, ".1").await;
    let by_bulk = walk("snmpbulkwalk", &[V2C, &["-Cr40"]].concat(), switch, ".1").await;
    assert_eq!(by_next.len(), site.device(3).size());
    assert_eq!(
        by_next.keys().collect::<Vec<_>>(),
        by_bulk.keys().collect::<Vec<_>>()
    );
    let column = by_next
        .keys()
        .filter(|oid| oid.starts_with(".1.3.6.1.2.1.31.1.1.1.6."));
    assert_eq!(
        column.count(),
        site.device(3).ports().len(),
        "one ifHCInOctets a port"
    );
}

#[tokio::test]
async fn a_v3_device_answers_its_user_and_tells_others_why_not() {
    if !have("snmpget") {
        return;
    }
    let site = company().await;
    let router = site.device(0).socket();
    let name = ask("snmpget", V3, router, &[".1.3.6.1.2.1.1.5.0"])
        .await
        .expect("authPriv works");
    assert!(name.contains("rtr-edge-01"), "{name}");
    let rows = walk("snmpbulkwalk", V3, router, ".1").await;
    assert_eq!(rows.len(), site.device(0).size());

    let wrong_password = [
        "-v3",
        "-lauthPriv",
        "-umonitor",
        "-aSHA-256",
        "-Awrong-wrong",
        "-xAES",
        "-Xbetween-you-and-me",
    ];
    let refused = ask("snmpget", &wrong_password, router, &[".1.3.6.1.2.1.1.5.0"])
        .await
        .unwrap_err();
    assert!(refused.contains("Authentication failure"), "{refused}");
    let unknown = ["-v3", "-lnoAuthNoPriv", "-unobody"];
    let refused = ask("snmpget", &unknown, router, &[".1.3.6.1.2.1.1.5.0"])
        .await
        .unwrap_err();
    assert!(refused.contains("Unknown user name"), "{refused}");
    let too_open = [
        "-v3",
        "-lauthNoPriv",
        "-umonitor",
        "-aSHA-256",
        "-Alook-but-do-not-touch",
    ];
    let refused = ask("snmpget", &too_open, router, &[".1.3.6.1.2.1.1.5.0"])
        .await
        .unwrap_err();
    assert!(refused.contains("authorizationError"), "{refused}");
    let refused = ask("snmpget", V2C, router, &[".1.3.6.1.2.1.1.5.0"])
        .await
        .unwrap_err();
    assert!(
        refused.contains("Timeout"),
        "a v3 device is deaf to communities: {refused}"
    );
}

#[tokio::test]
async fn every_protocol_pair_that_the_agent_has_is_understood() {
    if !have("snmpget") {
        return;
    }
    let users = [
        (User::open("open"), vec!["-lnoAuthNoPriv", "-uopen"]),
        (
            User::authentic("sha1", AuthProtocol::Sha1, "12345678"),
            vec!["-lauthNoPriv", "-usha1", "-aSHA", "-A12345678"],
        ),
        (
            User::authentic("sha256", AuthProtocol::Sha256, "12345678"),
            vec!["-lauthNoPriv", "-usha256", "-aSHA-256", "-A12345678"],
        ),
        (
            User::private("both", AuthProtocol::Sha1, "12345678", "87654321"),
            vec![
                "-lauthPriv",
                "-uboth",
                "-aSHA",
                "-A12345678",
                "-xAES",
                "-X87654321",
            ],
        ),
    ];
    let specs = users.iter().map(|(user, _)| {
        DeviceSpec::new(Kind::LinuxServer, &user.name, Access::only_v3(user.clone()))
    });
    let site = Site::builder()
        .port(0)
        .only(specs.collect())
        .start()
        .await
        .unwrap();
    for ((user, arguments), device) in users.iter().zip(site.devices()) {
        let arguments = [&["-v3"], &arguments[..]].concat();
        let name = ask(
            "snmpget",
            &arguments,
            device.socket(),
            &[".1.3.6.1.2.1.1.5.0"],
        )
        .await;
        assert!(name.expect("answers").contains(&user.name));
    }
}

#[tokio::test]
async fn a_v1_device_has_only_narrow_counters_and_no_other_version() {
    if !have("snmpwalk") {
        return;
    }
    let site = company().await;
    let old = site.device(10).socket();
    let rows = walk("snmpwalk", V1, old, ".1").await;
    assert_eq!(rows.len(), site.device(10).size());
    assert!(!rows.values().any(|value| value.contains("Counter64")));
    let refused = ask("snmpget", V2C, old, &[".1.3.6.1.2.1.1.1.0"])
        .await
        .unwrap_err();
    assert!(refused.contains("Timeout"), "{refused}");
    let missing = ask("snmpget", V1, old, &[".1.3.6.1.2.1.31.1.1.1.6.1"])
        .await
        .unwrap_err();
    assert!(missing.contains("noSuchName"), "{missing}");
}

#[tokio::test]
async fn version_one_skips_the_64_bit_counters_of_a_newer_device() {
    if !have("snmpwalk") {
        return;
    }
    let site = company().await;
    let all = walk("snmpwalk", V2C, site.device(3).socket(), ".1.3.6.1.2.1.31").await;
    let seen = walk("snmpwalk", V1, site.device(3).socket(), ".1.3.6.1.2.1.31").await;
    let wide = all
        .values()
        .filter(|value| value.contains("Counter64"))
        .count();
    assert!(wide > 0);
    assert_eq!(seen.len(), all.len() - wide);
}

#[tokio::test]
async fn what_is_missing_is_told_apart_and_nothing_can_be_set() {
    if !have("snmpset") {
        return;
    }
    let site = company().await;
    let switch = site.device(3).socket();
    let instance = ask("snmpget", V2C, switch, &[".1.3.6.1.2.1.2.2.1.10.99999"])
        .await
        .unwrap();
    assert!(instance.contains("No Such Instance"), "{instance}");
    let object = ask("snmpget", V2C, switch, &[".1.3.6.1.4.1.99999.1.0"])
        .await
        .unwrap();
    assert!(object.contains("No Such Object"), "{object}");
    let set = ["snmpset"].map(|tool| ask(tool, V2C, switch, &[".1.3.6.1.2.1.1.5.0", "s", "mine"]));
    for refused in set {
        let refused = refused.await.unwrap_err();
        assert!(refused.contains("notWritable"), "{refused}");
    }
    assert_eq!(site.device(3).name(), "sw-core-02");
}

#[tokio::test]
async fn an_answer_never_exceeds_what_the_device_or_the_manager_can_hold() {
    if !have("snmpbulkget") {
        return;
    }
    let site = company().await;
    let switch = site.device(3);
    switch.set_max_message(600);
    let rows = ask(
        "snmpbulkget",
        &[V2C, &["-Cr200"]].concat(),
        switch.socket(),
        &[".1.3.6.1.2.1.2.2"],
    )
    .await
    .unwrap();
    let count = rows.lines().count();
    assert!((5..40).contains(&count), "{count} rows in 600 octets");
    let many: Vec<String> = (501..=528)
        .map(|port| format!(".1.3.6.1.2.1.2.2.1.10.{port}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let refused = ask("snmpget", V2C, switch.socket(), &many)
        .await
        .unwrap_err();
    assert!(refused.contains("tooBig"), "{refused}");
}

#[tokio::test]
async fn an_observer_gets_the_value_that_the_site_calls_true() {
    if !have("snmpget") {
        return;
    }
    let site = company().await;
    let switch = site.device(3);
    switch.set_link(501, false); // so that it stands still
    switch.set_counter(501, Column::InOctets, (1 << 40) + 7);
    let seen = ask(
        "snmpget",
        V2C,
        switch.socket(),
        &[".1.3.6.1.2.1.31.1.1.1.6.501", ".1.3.6.1.2.1.2.2.1.10.501"],
    )
    .await;
    let seen = seen.unwrap();
    assert!(seen.contains("Counter64: 1099511627783"), "{seen}");
    assert!(seen.contains("Counter32: 7"), "{seen}");
    let status = ask(
        "snmpget",
        V2C,
        switch.socket(),
        &[".1.3.6.1.2.1.2.2.1.8.501"],
    )
    .await
    .unwrap();
    assert!(status.trim().ends_with("INTEGER: 2"), "{status}");
    assert_eq!(
        switch.value(&Oid::from([1, 3, 6, 1, 2, 1, 2, 2, 1, 10, 501])),
        Value::Counter32(7)
    );
}

#[tokio::test]
async fn a_reboot_starts_the_clock_and_the_counters_again() {
    if !have("snmpget") {
        return;
    }
    let site = company().await;
    let switch = site.device(3);
    let (uptime, octets) = (
        Oid::from([1, 3, 6, 1, 2, 1, 1, 3, 0]),
        Oid::from([1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6, 501]),
    );
    let before = switch.value(&octets).number().unwrap();
    switch.reboot(Duration::from_secs(5));
    assert!(!switch.is_reachable());
    let refused = ask("snmpget", V2C, switch.socket(), &[".1.3.6.1.2.1.1.3.0"])
        .await
        .unwrap_err();
    assert!(refused.contains("Timeout"), "{refused}");
    site.advance(Duration::from_secs(10));
    assert!(switch.is_reachable());
    assert!(
        switch.value(&uptime).number().unwrap() < 2_000,
        "less than twenty seconds"
    );
    assert!(switch.value(&octets).number().unwrap() < before / 100);
    ask("snmpget", V2C, switch.socket(), &[".1.3.6.1.2.1.1.3.0"])
        .await
        .expect("it answers again");
}

#[tokio::test]
async fn a_v3_device_that_rebooted_sends_its_new_boots_to_who_still_uses_the_old() {
    if !have("snmpget") {
        return;
    }
    let site = company().await;
    let router = site.device(0);
    let boots = ".1.3.6.1.6.3.10.2.1.2.0";
    let before = ask("snmpget", V3, router.socket(), &[boots]).await.unwrap();
    router.reboot(Duration::ZERO);
    let after = ask("snmpget", V3, router.socket(), &[boots]).await.unwrap();
    let number = |line: &str| {
        line.trim()
            .rsplit(' ')
            .next()
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    assert_eq!(number(&after), number(&before) + 1);
}

#[tokio::test]
async fn neighbours_agree_about_their_cable() {
    if !have("snmpbulkwalk") {
        return;
    }
    let site = company().await;
    // sw-core-02 (v2c) says which port of sw-floor2-01 it sees; that switch says the same the other way round.
    let remote_names = walk(
        "snmpbulkwalk",
        V2C,
        site.device(3).socket(),
        ".1.0.8802.1.1.2.1.4.1.1.9",
    )
    .await;
    let row = remote_names
        .iter()
        .find(|(_, name)| name.contains("sw-floor2-01"))
        .expect("it is a neighbour");
    let index = row.0.strip_prefix(".1.0.8802.1.1.2.1.4.1.1.9.").unwrap();
    let port = walk(
        "snmpbulkwalk",
        V2C,
        site.device(3).socket(),
        &format!(".1.0.8802.1.1.2.1.4.1.1.7.{index}"),
    )
    .await;
    let port = port.values().next().unwrap().clone();
    let other = site.device(6);
    assert_eq!(other.name(), "sw-floor2-01");
    let names = walk(
        "snmpbulkwalk",
        V2C,
        other.socket(),
        ".1.3.6.1.2.1.31.1.1.1.1",
    )
    .await;
    let local = names
        .iter()
        .find(|(_, name)| **name == port)
        .expect("the port exists there");
    let if_index = local.0.rsplit('.').next().unwrap();
    let back = format!(".1.0.8802.1.1.2.1.4.1.1.9.0.{if_index}.1");
    let back = ask("snmpget", V2C, other.socket(), &[&back]).await.unwrap();
    assert!(back.contains("sw-core-02"), "{back}");
}

#[tokio::test]
async fn names_come_as_the_octets_they_are() {
    if !have("snmpget") {
        return;
    }
    let site = company().await;
    let name = ask(
        "snmpget",
        V2C,
        site.device(38).socket(),
        &[".1.3.6.1.2.1.1.5.0"],
    )
    .await
    .unwrap();
    assert!(name.contains("<script>alert(1)</script>"), "{name}");
    let location = ask(
        "snmpget",
        &[V2C, &["-Ox"]].concat(),
        site.device(21).socket(),
        &[".1.3.6.1.2.1.1.6.0"],
    )
    .await;
    assert!(
        location.unwrap().contains("42 FC 72 6F"),
        "ISO 8859-1, as old firmware sends it"
    );
}

async fn company() -> Site {
    Site::builder()
        .port(0)
        .start()
        .await
        .expect("loopback addresses can be bound")
}

fn have(tool: &str) -> bool {
    let there = Command::new(tool)
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !there {
        eprintln!("skipped: {tool} is not installed (apt-get install snmp)");
    }
    there
}

/// What the tool prints, or what it complains of.
async fn ask(tool: &str, how: &[&str], at: SocketAddrV4, rest: &[&str]) -> Result<String, String> {
    let at = SocketAddrV4::new(Ipv4Addr::from(u32::from(*at.ip())), at.port()).to_string();
    let (tool, how) = (
        tool.to_owned(),
        how.iter()
            .map(|argument| (*argument).to_owned())
            .collect::<Vec<_>>(),
    );
    let rest: Vec<String> = rest.iter().map(|argument| (*argument).to_owned()).collect();
    let run = move || -> Output {
        let mut command = Command::new(&tool);
        command
            .args(how)
            .args(["-On", "-m", "", "-t1", "-r1", "-M", "/nonexistent"])
            .arg(at)
            .args(rest);
        command.output().expect("the tool was there a moment ago")
    };
    let output = tokio::task::spawn_blocking(run).await.expect("no panic");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let complaint = text(&output.stderr);
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(complaint + &text(&output.stdout))
    }
}

async fn walk(tool: &str, how: &[&str], at: SocketAddrV4, from: &str) -> BTreeMap<String, String> {
    let printed = ask(tool, how, at, &[from])
        .await
        .expect("the walk ends well");
    let mut rows = BTreeMap::new();
    for line in printed.lines() {
        if let Some((oid, value)) = line.split_once(" = ")
            && !value.starts_with("No more variables left")
        {
            assert!(
                rows.insert(oid.to_owned(), value.to_owned()).is_none(),
                "{oid} came twice"
            );
        }
    }
    rows
}
