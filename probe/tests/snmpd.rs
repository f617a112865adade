//! The engine against net-snmp's snmpd, an instance of our own on loopback. Skipped, with a printed line, where there is
//! none.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "the bench of tests is test code too"
)]

use std::{
    fs,
    io::Write,
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use farwatch_probe::snmp::{
    Auth, AuthProtocol, Engine, EngineConfig, ErrorStatus, GetError, Limits, Plan, PrivProtocol,
    Reason, Rows, TablePlan, Target, V3User, Value,
};
use farwatch_shared::oid::Oid;
use tempfile::TempDir;

const SYS_DESCR: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 1, 0]);
const SYS_UP_TIME: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 3, 0]);
const SYSTEM: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1]);
const SYS_OR_ID: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 9, 1, 2]);
const SYS_OR_DESCR: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 9, 1, 3]);
const NOTHING: Oid = Oid::of(&[1, 3, 6, 1, 2, 1, 1, 99, 0]);

const AUTH: &str = "auth-password";
const PRIV: &str = "priv-password";

/// A running snmpd; ends with this.
struct Snmpd {
    child: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Snmpd {
    /// `None` where snmpd is not installed.
    async fn start(extra: &str) -> Option<Self> {
        let program = ["/usr/sbin/snmpd", "/usr/local/sbin/snmpd"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let Some(program) = program else {
            println!("skipped: no snmpd here");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let mut config = fs::File::create(folder.path().join("agent.conf")).unwrap();
        writeln!(config, "rocommunity public\nsysDescr pretend\n{extra}").unwrap();
        let free = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let snmpd = Self {
            child: Self::spawn(program, folder.path(), address),
            folder,
            address,
        };
        snmpd.wait().await;
        Some(snmpd)
    }

    fn spawn(program: &str, folder: &Path, address: SocketAddr) -> Child {
        Command::new(program)
            .args(["-f", "-r", "-c"])
            .arg(folder.join("agent.conf"))
            .arg("-Lf")
            .arg(folder.join("log"))
            .arg(format!("udp:{address}"))
            .env("MIBS", "")
            .env("SNMPCONFPATH", folder.join("state"))
            .env("SNMP_PERSISTENT_DIR", folder.join("state")) // where it keeps its boots
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    async fn wait(&self) {
        let engine = engine();
        let limits = Limits {
            deadline: Duration::from_secs(20),
            attempts: 200,
            retry_after: Duration::from_millis(100),
            ..Limits::default()
        };
        engine
            .get(&self.target(Auth::v2c("public")), &[SYS_UP_TIME], limits)
            .await
            .expect("snmpd answers");
    }

    /// Stops it, so that it writes its state; starts it again after `meanwhile`.
    async fn restart(&mut self, meanwhile: impl FnOnce(&Path)) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::SIGTERM).unwrap();
        self.child.wait().unwrap();
        meanwhile(self.folder.path());
        self.child = Self::spawn("/usr/sbin/snmpd", self.folder.path(), self.address);
        self.wait().await;
    }

    fn target(&self, auth: Auth) -> Target {
        Target::new(self.address, auth)
    }
}

impl Drop for Snmpd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn engine() -> Engine {
    Engine::bind(EngineConfig::default()).unwrap()
}

fn limits() -> Limits {
    Limits {
        retry_after: Duration::from_millis(500),
        ..Limits::default()
    }
}

fn net_snmp_auth(protocol: AuthProtocol) -> &'static str {
    match protocol {
        AuthProtocol::Md5 => "MD5",
        AuthProtocol::Sha1 => "SHA",
        AuthProtocol::Sha224 => "SHA-224",
        AuthProtocol::Sha256 => "SHA-256",
        AuthProtocol::Sha384 => "SHA-384",
        AuthProtocol::Sha512 => "SHA-512",
    }
}

fn net_snmp_priv(protocol: PrivProtocol) -> &'static str {
    match protocol {
        PrivProtocol::Des => "DES",
        PrivProtocol::Aes128 => "AES",
        PrivProtocol::Aes192 => "AES-192",
        _ => "AES-256",
    }
}

#[tokio::test]
async fn v1_and_v2c_read_the_same_device() {
    let Some(snmpd) = Snmpd::start("").await else {
        return;
    };
    let engine = engine();
    let mut walks = Vec::new();
    for auth in [Auth::v1("public"), Auth::v2c("public")] {
        let target = snmpd.target(auth);
        let asked = [SYS_DESCR, NOTHING, SYS_UP_TIME];
        let got = engine.get(&target, &asked, limits()).await.unwrap();
        assert_eq!(
            got.iter()
                .map(|varbind| varbind.oid.clone())
                .collect::<Vec<_>>(),
            asked
        );
        assert_eq!(got[0].value, Value::octets("pretend"));
        assert!(got[1].value.is_missing());
        assert!(matches!(got[2].value, Value::TimeTicks(_)));

        let walk = engine.walk(&target, &SYSTEM, limits()).await.unwrap();
        assert!(walk.cut.is_none());
        walks.push(
            walk.varbinds
                .into_iter()
                .map(|varbind| varbind.oid)
                .collect::<Vec<_>>(),
        );

        let table = engine
            .table(&target, &[SYS_OR_ID, SYS_OR_DESCR], limits())
            .await
            .unwrap();
        assert!(table.cut.is_none());
        let rows = table.tables[0].rows();
        assert!(rows.len() > 3);
        assert!(
            rows.values()
                .all(|row| matches!(row[..], [Some(Value::Oid(_)), Some(Value::OctetString(_))]))
        );

        let next = engine
            .get_next(&target, &[SYSTEM, "1.9".parse().unwrap()], limits())
            .await
            .unwrap();
        assert_eq!(next[0].oid, SYS_DESCR);
        assert_eq!(next[1].value, Value::EndOfMibView);

        let instance = engine.walk(&target, &SYS_UP_TIME, limits()).await.unwrap();
        assert_eq!(
            instance.varbinds.len(),
            1,
            "an instance walked is that instance"
        );
    }
    assert!(walks[0].len() > 20);
    assert_eq!(walks[0], walks[1]);
    let stranger = snmpd.target(Auth::v2c("wrong"));
    let once = Limits::once(Duration::from_millis(300));
    assert!(
        engine
            .get(&stranger, &[SYS_DESCR], once)
            .await
            .unwrap_err()
            .is_silence()
    );
}

#[tokio::test]
async fn a_plan_is_read_whole_and_cheaply() {
    let Some(snmpd) = Snmpd::start("").await else {
        return;
    };
    let (engine, target) = (engine(), snmpd.target(Auth::v2c("public")));
    let columns = vec![SYS_OR_ID, SYS_OR_DESCR];
    let all = Plan {
        scalars: vec![SYS_DESCR, NOTHING, SYS_UP_TIME],
        tables: vec![TablePlan {
            columns: columns.clone(),
            rows: Rows::All,
        }],
    };
    let reading = engine.read(&target, &all, limits()).await.unwrap();
    assert!(reading.cut.is_none());
    assert_eq!(reading.scalars.len(), 3);
    assert!(reading.scalar(&SYS_UP_TIME).is_some());
    assert!(reading.scalar(&NOTHING).is_none());
    let rows: Vec<_> = reading.tables[0].rows().into_keys().collect();

    let known = Plan {
        tables: vec![TablePlan {
            columns: columns.clone(),
            rows: Rows::Known(rows.clone()),
        }],
        ..all.clone()
    };
    let again = engine.read(&target, &known, limits()).await.unwrap();
    assert_eq!(again.tables[0].rows().into_keys().collect::<Vec<_>>(), rows);
    assert_eq!(again.cost.requests, 1, "{:?}", again.cost);

    let some = vec![rows[1].clone(), rows[3].clone()];
    let only = Plan {
        tables: vec![TablePlan {
            columns,
            rows: Rows::Only(some.clone()),
        }],
        ..all
    };
    let few = engine.read(&target, &only, limits()).await.unwrap();
    assert_eq!(few.tables[0].rows().into_keys().collect::<Vec<_>>(), some);
    assert_eq!((few.cost.requests, few.cost.varbinds), (1, 7));
    assert_eq!(few.scalars.len(), 3);
}

#[tokio::test]
async fn all_pairs_of_auth_and_priv_protocols_work() {
    let (mut config, mut users) = (String::new(), Vec::new());
    let ciphers = [
        PrivProtocol::Des,
        PrivProtocol::Aes128,
        PrivProtocol::Aes192,
        PrivProtocol::Aes256,
    ];
    for auth in AuthProtocol::ALL {
        for privacy in ciphers {
            let name = format!("{auth}_{privacy}");
            let (hash, cipher) = (net_snmp_auth(auth), net_snmp_priv(privacy));
            config +=
                &format!("createUser {name} {hash} {AUTH} {cipher} {PRIV}\nrouser {name} priv\n");
            users.push(V3User::auth_priv(&name, (auth, AUTH), (privacy, PRIV)).unwrap());
        }
    }
    let Some(snmpd) = Snmpd::start(&config).await else {
        return;
    };
    let engine = engine();
    assert_eq!(users.len(), 24);
    for user in users {
        let target = snmpd.target(Auth::V3(user.clone()));
        let got = engine
            .get(&target, &[SYS_DESCR], limits())
            .await
            .unwrap_or_else(|error| panic!("{user:?}: {error}"));
        assert_eq!(got[0].value, Value::octets("pretend"), "{user:?}");
        let walk = engine.walk(&target, &SYSTEM, limits()).await.unwrap();
        assert!(walk.cut.is_none() && walk.varbinds.len() > 20, "{user:?}");
    }
    let stats = engine.stats();
    assert_eq!(
        stats.discoveries_total, 1,
        "one device, one discovery, whoever asks"
    );
    assert_eq!(stats.resynchronized_total, 0);
}

#[tokio::test]
async fn the_lower_security_levels_work_where_they_are_allowed() {
    let config = format!(
        "createUser nobody\nrouser nobody noauth\ncreateUser signer SHA-256 {AUTH}\nrouser signer auth\n\
         createUser secret SHA-256 {AUTH} AES {PRIV}\nrouser secret priv\n"
    );
    let Some(snmpd) = Snmpd::start(&config).await else {
        return;
    };
    let engine = engine();
    let get = async |user: V3User| {
        engine
            .get(&snmpd.target(Auth::V3(user)), &[SYS_DESCR], limits())
            .await
    };

    assert!(get(V3User::no_auth("nobody").unwrap()).await.is_ok());
    assert!(
        get(V3User::auth("signer", AuthProtocol::Sha256, AUTH).unwrap())
            .await
            .is_ok()
    );
    let too_low = get(V3User::auth("secret", AuthProtocol::Sha256, AUTH).unwrap())
        .await
        .unwrap_err();
    assert!(
        matches!(
            too_low,
            GetError::Refused {
                status: ErrorStatus::AuthorizationError,
                ..
            }
        ),
        "{too_low}"
    );
    let too_high = V3User::auth_priv(
        "signer",
        (AuthProtocol::Sha256, AUTH),
        (PrivProtocol::Aes128, PRIV),
    )
    .unwrap();
    let too_high = get(too_high).await.unwrap_err();
    assert!(
        matches!(
            too_high,
            GetError::Security {
                reason: Reason::UnsupportedSecurityLevel,
                ..
            }
        ),
        "{too_high}"
    );
    let elsewhere = V3User::no_auth("nobody").unwrap().in_context("elsewhere");
    let elsewhere = get(elsewhere).await.unwrap_err();
    assert!(
        matches!(
            elsewhere,
            GetError::Security {
                reason: Reason::UnknownContext,
                ..
            } | GetError::Refused { .. }
                | GetError::Timeout { .. }
        ),
        "{elsewhere}"
    );
}

#[tokio::test]
async fn a_credential_test_says_what_is_wrong() {
    let config = format!("createUser monitor SHA-256 {AUTH} AES {PRIV}\nrouser monitor priv\n");
    let Some(snmpd) = Snmpd::start(&config).await else {
        return;
    };
    let engine = engine();
    let quick = Limits {
        deadline: Duration::from_secs(4),
        retry_after: Duration::from_millis(300),
        ..limits()
    };
    let check = async |name: &str, auth: (AuthProtocol, &str), privacy: (PrivProtocol, &str)| {
        let user = V3User::auth_priv(name, auth, privacy).unwrap();
        match engine.check(&snmpd.target(Auth::V3(user)), quick).await {
            Ok(()) => None,
            Err(GetError::Security { reason, .. }) => Some(reason),
            Err(other) => panic!("{other}"),
        }
    };
    let (good_auth, good_priv) = ((AuthProtocol::Sha256, AUTH), (PrivProtocol::Aes128, PRIV));
    assert_eq!(check("monitor", good_auth, good_priv).await, None);
    assert_eq!(
        check("stranger", good_auth, good_priv).await,
        Some(Reason::UnknownUserName)
    );
    assert_eq!(
        check("monitor", (AuthProtocol::Sha256, "not-the-one"), good_priv).await,
        Some(Reason::WrongDigest)
    );
    assert_eq!(
        check("monitor", (AuthProtocol::Md5, AUTH), good_priv).await,
        Some(Reason::WrongDigest)
    );
    assert_eq!(
        check("monitor", good_auth, (PrivProtocol::Aes128, "not-the-one")).await,
        Some(Reason::WrongPrivacy)
    );
    assert_eq!(
        check("monitor", good_auth, (PrivProtocol::Aes256, PRIV)).await,
        Some(Reason::WrongPrivacy)
    );
    assert_eq!(
        check("monitor", good_auth, (PrivProtocol::Des, PRIV)).await,
        Some(Reason::WrongPrivacy)
    );
}

#[tokio::test]
async fn a_restarted_device_is_followed_at_the_first_poll() {
    let config = format!("createUser monitor SHA {AUTH} AES {PRIV}\nrouser monitor priv\n");
    let Some(mut snmpd) = Snmpd::start(&config).await else {
        return;
    };
    let engine = engine();
    let user = V3User::auth_priv(
        "monitor",
        (AuthProtocol::Sha1, AUTH),
        (PrivProtocol::Aes128, PRIV),
    )
    .unwrap();
    let target = snmpd.target(Auth::V3(user));
    engine.get(&target, &[SYS_DESCR], limits()).await.unwrap();
    let engine_id = engine.engine_id(snmpd.address).unwrap();

    snmpd.restart(|_| ()).await;
    engine.get(&target, &[SYS_DESCR], limits()).await.unwrap();
    let stats = engine.stats();
    assert_eq!(engine.engine_id(snmpd.address).unwrap(), engine_id);
    assert_eq!(
        (stats.discoveries_total, stats.resynchronized_total),
        (1, 1),
        "its report put our clock right"
    );

    // a device replaced by another: the same address, another engine id
    let replace = |folder: &Path| {
        fs::remove_dir_all(folder.join("state")).unwrap();
        let config = format!("engineID other\nrocommunity public\nsysDescr pretend\n{config}");
        fs::write(folder.join("agent.conf"), config).unwrap();
    };
    snmpd.restart(replace).await;
    engine.get(&target, &[SYS_DESCR], limits()).await.unwrap();
    assert_ne!(engine.engine_id(snmpd.address).unwrap(), engine_id);
    assert_eq!(engine.stats().discoveries_total, 2);
}

#[tokio::test]
async fn two_hundred_at_once_all_get_their_own_answer() {
    let Some(snmpd) = Snmpd::start("").await else {
        return;
    };
    let engine = Engine::bind(EngineConfig {
        requests_per_device: 4,
        ..EngineConfig::default()
    })
    .unwrap();
    let target = snmpd.target(Auth::v2c("public"));
    let walked = engine.walk(&target, &SYSTEM, limits()).await.unwrap();
    let gets = (0..200).map(|i| {
        let (engine, target) = (engine.clone(), target.clone());
        let wanted = walked.varbinds[i % walked.varbinds.len()].clone();
        async move {
            let got = engine
                .get(&target, std::slice::from_ref(&wanted.oid), limits())
                .await
                .unwrap();
            assert_eq!(got[0].oid, wanted.oid);
            if wanted.oid != SYS_UP_TIME {
                assert_eq!(got[0].value, wanted.value);
            }
        }
    });
    futures::future::join_all(gets).await;
    assert_eq!(engine.stats().under_way, 0);
}

/// The command line against this machine's own agent, as v2c and as v3.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_device_is_told_by_its_profiles() {
    let Some(snmpd) = Snmpd::start(&format!(
        "createUser ada SHA-256 {AUTH} AES {PRIV}\nrouser ada"
    ))
    .await
    else {
        return;
    };
    let port = snmpd.address.port().to_string();
    let told = |more: &[&str]| {
        let said = Command::new(env!("CARGO_BIN_EXE_farwatch-probe"))
            .args(["profile", "test", "127.0.0.1", "--json", "--port", &port])
            .args(more)
            .env("FARWATCH_AUTH_PASSWORD", AUTH)
            .env("FARWATCH_PRIV_PASSWORD", PRIV)
            .output()
            .unwrap();
        assert!(
            said.status.success(),
            "{}",
            String::from_utf8_lossy(&said.stderr)
        );
        serde_json::from_slice::<serde_json::Value>(&said.stdout).unwrap()
    };
    for said in [told(&[]), told(&["--user", "ada", "--privacy", "AES-128"])] {
        assert_eq!(said["recording"], "127.0.0.1");
        assert_eq!(said["os"], "Linux", "{said}");
        let storage = said["storage"].as_array().unwrap();
        assert!(
            storage.iter().any(|one| one["kind"] == "memory"),
            "{storage:?}"
        );
        assert!(!said["interfaces"].as_array().unwrap().is_empty());
        assert!(said["cost"]["requests"].as_u64() > Some(3), "{said}");
    }
}
