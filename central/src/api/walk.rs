//! Walks every route as every role, for two customers and every kind of id. A route that is new and not in [`ROUTES`]
//! fails here until it says what it answers.

use std::collections::BTreeMap;

use farwatch_shared::id::{DeviceId, InterfaceId, ProbeId};
use serde_json::{Value, json};

use super::guard::Declared;
use super::testing::{Answer, Bench, Browser, NOW, PASSWORD, request};

/// What a test must know of a route: a body that fits, with ids of a customer filled in.
type Body = fn(&World) -> Option<Value>;

/// Every route of the console's listeners. `{id}` is filled in by the first word of the path.
const ROUTES: &[(&str, &str, Body)] = &[
    ("GET", "/api/v1/setup", none),
    ("POST", "/api/v1/setup", |_| {
        Some(
            json!({ "token": "", "user_name": "eve", "display_name": "Eve", "password": PASSWORD }),
        )
    }),
    ("GET", "/api/v1/session", none),
    ("POST", "/api/v1/session", |_| {
        Some(json!({ "user_name": "nobody", "password": "nothing at all" }))
    }),
    ("DELETE", "/api/v1/session", none),
    ("GET", "/api/v1/me", none),
    ("PATCH", "/api/v1/me", |_| {
        Some(json!({ "preferences": { "theme": "dark" } }))
    }),
    ("GET", "/api/v1/users", none),
    ("POST", "/api/v1/users", |_| {
        Some(
            json!({ "user_name": "ada", "display_name": "Twice", "password": PASSWORD, "role": "viewer" }),
        )
    }),
    ("DELETE", "/api/v1/users/{id}", none),
    ("GET", "/api/v1/overview", none),
    ("GET", "/api/v1/customers", none),
    ("POST", "/api/v1/customers", |_| {
        Some(json!({ "name": "Alpha" }))
    }),
    ("GET", "/api/v1/customers/{id}", none),
    ("PATCH", "/api/v1/customers/{id}", |_| {
        Some(json!({ "note": "walked" }))
    }),
    ("DELETE", "/api/v1/customers/{id}", |_| {
        Some(json!({ "confirm_name": "not its name" }))
    }),
    ("GET", "/api/v1/sites", none),
    ("POST", "/api/v1/sites", |w| {
        Some(json!({ "customer_id": w.customer, "name": "Main" }))
    }),
    ("GET", "/api/v1/sites/{id}", none),
    ("PATCH", "/api/v1/sites/{id}", |_| {
        Some(json!({ "note": "walked" }))
    }),
    ("DELETE", "/api/v1/sites/{id}", |_| {
        Some(json!({ "confirm_name": "not its name" }))
    }),
    ("GET", "/api/v1/sites/{id}/site-config", none),
    ("PUT", "/api/v1/sites/{id}/site-config", |_| {
        Some(json!({ "revision": 999_999 }))
    }),
    ("GET", "/api/v1/sites/{id}/discovery", none),
    ("POST", "/api/v1/sites/{id}/discovery", none),
    ("GET", "/api/v1/sites/{id}/discovery/addresses", none),
    ("GET", "/api/v1/sites/{id}/topology", none),
    ("GET", "/api/v1/credentials", none),
    ("POST", "/api/v1/credentials", |w| {
        Some(
            json!({ "customer_id": w.customer, "name": "public", "kind": "v2c", "community": "c" }),
        )
    }),
    ("PATCH", "/api/v1/credentials/{id}", |_| {
        Some(json!({ "kind": "v2c", "community": "walked" }))
    }),
    ("DELETE", "/api/v1/credentials/{id}", none),
    ("GET", "/api/v1/join-tokens", none),
    ("POST", "/api/v1/join-tokens", |w| {
        Some(json!({ "site_id": w.site }))
    }),
    ("GET", "/api/v1/join-tokens/{id}", none),
    ("DELETE", "/api/v1/join-tokens/{id}", none),
    ("GET", "/api/v1/probes", none),
    ("GET", "/api/v1/probes/{id}", none),
    ("PATCH", "/api/v1/probes/{id}", |_| {
        Some(json!({ "name": "walked" }))
    }),
    ("DELETE", "/api/v1/probes/{id}", |_| {
        Some(json!({ "reason": "walked" }))
    }),
    ("POST", "/api/v1/probes/{id}/echo", none),
    ("GET", "/api/v1/probes/{id}/ledger", none),
    ("GET", "/api/v1/devices", none),
    ("POST", "/api/v1/devices", |w| {
        Some(json!({ "site_id": w.site, "address": "192.0.2.99" }))
    }),
    ("GET", "/api/v1/devices/{id}", none),
    ("PATCH", "/api/v1/devices/{id}", |_| {
        Some(json!({ "note": "walked" }))
    }),
    ("DELETE", "/api/v1/devices/{id}", none),
    ("GET", "/api/v1/devices/{id}/neighbours", none),
    ("GET", "/api/v1/devices/{id}/interfaces", none),
    ("GET", "/api/v1/devices/{id}/sensors", none),
    ("GET", "/api/v1/devices/{id}/events", none),
    ("GET", "/api/v1/events", none),
    ("GET", "/api/v1/metrics/range", none),
    ("GET", "/api/v1/metrics/top", none),
    ("GET", "/api/v1/incidents", none),
    ("GET", "/api/v1/incidents/{id}", none),
    ("POST", "/api/v1/incidents/{id}/acknowledge", none),
    ("POST", "/api/v1/incidents/{id}/resolve", none),
    ("POST", "/api/v1/incidents/{id}/notes", |_| {
        Some(json!({ "text": "walked" }))
    }),
    ("GET", "/api/v1/channels", none),
    ("POST", "/api/v1/channels", |w| {
        Some(
            json!({ "name": "hook", "kind": "webhook", "customer_id": w.customer,
            "settings": { "url": "https://hooks.example/x" } }),
        )
    }),
    ("PATCH", "/api/v1/channels/{id}", |_| {
        Some(json!({ "enabled": false }))
    }),
    ("DELETE", "/api/v1/channels/{id}", none),
    ("POST", "/api/v1/channels/{id}/test", none),
    ("GET", "/api/v1/audit", none),
    ("GET", "/api/v1/health", none),
    ("GET", "/api/v1/live", none),
    ("GET", "/api/v1/openapi.json", none),
    ("GET", "/healthz", none),
    ("GET", "/metrics", none),
    ("GET", "/install.sh", none),
    ("GET", "/download/farwatch-probe", none),
];

/// Filters that name a customer's things: `(path, parameter)`.
const FILTERS: &[(&str, &str)] = &[
    ("/api/v1/overview", "customer_id"),
    ("/api/v1/overview", "site_id"),
    ("/api/v1/sites", "customer_id"),
    ("/api/v1/credentials", "customer_id"),
    ("/api/v1/join-tokens", "site_id"),
    ("/api/v1/probes", "customer_id"),
    ("/api/v1/probes", "site_id"),
    ("/api/v1/devices", "customer_id"),
    ("/api/v1/devices", "site_id"),
    ("/api/v1/events", "customer_id"),
    ("/api/v1/events", "site_id"),
    ("/api/v1/events", "probe_id"),
    ("/api/v1/metrics/range", "device"),
    ("/api/v1/metrics/top", "customer_id"),
    ("/api/v1/metrics/top", "site_id"),
    ("/api/v1/incidents", "customer_id"),
    ("/api/v1/incidents", "site_id"),
    ("/api/v1/incidents", "device_id"),
    ("/api/v1/audit", "customer_id"),
    ("/api/v1/live", "customer_id"),
    ("/api/v1/live", "site_id"),
];

fn none(_: &World) -> Option<Value> {
    None
}

/// Everything that one customer has, each of it named after `mark`.
#[derive(Clone, Debug)]
struct World {
    mark: &'static str,
    customer: String,
    site: String,
    credential: String,
    token: String,
    probe: String,
    device: String,
    incident: String,
    channel: String,
    user: String,
}

impl World {
    fn id(&self, path: &str) -> &str {
        match path.split('/').nth(3).unwrap_or_default() {
            "customers" => &self.customer,
            "sites" => &self.site,
            "credentials" => &self.credential,
            "join-tokens" => &self.token,
            "probes" => &self.probe,
            "devices" => &self.device,
            "incidents" => &self.incident,
            "channels" => &self.channel,
            "users" => &self.user,
            other => panic!("no id for {other}"),
        }
    }

    fn parameter(&self, name: &str) -> &str {
        match name {
            "customer_id" => &self.customer,
            "site_id" => &self.site,
            "probe_id" => &self.probe,
            "device" | "device_id" => &self.device,
            other => panic!("no value for {other}"),
        }
    }

    fn path(&self, path: &str) -> String {
        let path = if path.contains("{id}") {
            path.replace("{id}", self.id(path))
        } else {
            path.to_owned()
        };
        match path.as_str() {
            "/api/v1/metrics/range" => format!("{path}?device={}&metric=rtt", self.device),
            "/api/v1/metrics/top" => format!("{path}?metric=rtt"),
            _ => path,
        }
    }
}

async fn make(bench: &Bench, admin: &Browser, mark: &'static str) -> World {
    let post = async |path: &str, body: Value| {
        let made = bench.ask(admin, "POST", path, Some(body)).await.expect(201);
        made["id"].as_str().unwrap().to_owned()
    };
    let customer = post("/api/v1/customers", json!({ "name": mark })).await;
    let site = post(
        "/api/v1/sites",
        json!({ "customer_id": customer, "name": format!("site-{mark}") }),
    )
    .await;
    let credential = post(
        "/api/v1/credentials",
        json!({ "customer_id": customer, "name": format!("credential-{mark}"), "kind": "v2c", "community": "canary-community" }),
    )
    .await;
    let token = post(
        "/api/v1/join-tokens",
        json!({ "site_id": site, "probe_name": format!("token-{mark}") }),
    )
    .await;
    let channel = post(
        "/api/v1/channels",
        json!({ "name": format!("channel-{mark}"), "kind": "webhook", "customer_id": customer,
            "settings": { "url": "http://127.0.0.1:1/hook" }, "secret": "canary-bearer" }),
    )
    .await;
    let user = post(
        "/api/v1/users",
        json!({ "user_name": format!("user-{mark}"), "display_name": mark, "password": PASSWORD, "role": "viewer", "customer_id": customer }),
    )
    .await;
    let (probe, device, interface) = (
        ProbeId::generate(),
        DeviceId::generate(),
        InterfaceId::generate(),
    );
    let (c, s): (farwatch_shared::id::CustomerId, farwatch_shared::id::SiteId) =
        (customer.parse().unwrap(), site.parse().unwrap());
    let incident: i64 = bench
        .central
        .store
        .write(move |db| {
            let record = json!({ "device": 1, "at": 0, "address": "192.0.2.1", "sys_name": format!("device-{mark}") });
            db.execute(
                "INSERT INTO probes (id, customer_id, site_id, name, key_hash, created_ms, certificate_not_after_ms, last_heard_ms)
                 VALUES (?1, ?2, ?3, ?4, zeroblob(32), 0, 0, ?5)",
                (probe, c, s, format!("probe-{mark}"), NOW),
            )?;
            db.execute(
                "INSERT INTO devices (id, customer_id, site_id, record, name, address, state, state_since_ms, first_seen_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, '192.0.2.1', 5, 0, 0)",
                (device, c, s, record.to_string(), format!("device-{mark}")),
            )?;
            db.execute(
                "INSERT INTO device_numbers (probe_id, device_no, device_id, customer_id, record) VALUES (?1, 1, ?2, ?3, '{}')",
                (probe, device, c),
            )?;
            db.execute(
                "INSERT INTO interfaces (id, device_id, customer_id, if_index, name, descr, alias, mac, if_type, speed_bps, present)
                 VALUES (?1, ?2, ?3, 1, ?4, '', '', '', 6, 1000000000, 1)",
                (interface, device, c, format!("port-{mark}")),
            )?;
            db.execute(
                "INSERT INTO interface_numbers (probe_id, device_no, instance_no, interface_id) VALUES (?1, 1, 1, ?2)",
                (probe, interface),
            )?;
            db.execute(
                "INSERT INTO addresses (probe_id, site_id, customer_id, address, device_no, icmp, snmp, attempts, reason)
                 VALUES (?1, ?2, ?3, '192.0.2.1', 1, 'answered', 'answered', '[]', ?4)",
                (probe, s, c, format!("reason-{mark}")),
            )?;
            db.execute(
                "INSERT INTO events (customer_id, site_id, probe_id, device_id, at_ms, received_ms, late, kind, severity, text, detail)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, 0, 'device_up', 4, ?6, '{}')",
                (c, s, probe, device, NOW, format!("event-{mark}")),
            )?;
            db.query_row(
                "INSERT INTO incidents (customer_id, site_id, kind, device_id, severity, title, consequence, opened_ms)
                 VALUES (?1, ?2, 'device_down', ?3, 0, ?4, '', ?5) RETURNING id",
                (c, s, device, format!("incident-{mark}"), NOW),
                |row| row.get(0),
            )
        })
        .await
        .unwrap();
    World {
        mark,
        customer,
        site,
        credential,
        token,
        probe: probe.to_string(),
        device: device.to_string(),
        incident: incident.to_string(),
        channel,
        user,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    /// All customers.
    Wide(&'static str),
    /// Customer A only.
    Narrow(&'static str),
}

/// The roles as the issue names them, written down again: this table is the oracle, not the code.
fn role_may(role: &str, permission: &str) -> bool {
    match permission {
        "public" | "see" => true,
        "operate" => matches!(role, "admin" | "operator"),
        "install" => matches!(role, "admin" | "technician"),
        "administer" => role == "admin",
        other => panic!("{other}"),
    }
}

fn check(route: &Declared, who: Who, foreign: bool, answer: &Answer) -> Result<(), String> {
    let status = answer.status.as_u16();
    let public = route.permission == "public";
    let wrong = |why: &str| {
        Err(format!(
            "{who:?} {} {} (foreign: {foreign}): {status}, {why}: {}",
            route.method, route.path, answer.text
        ))
    };
    if status >= 500 && status != 504 {
        return wrong("a fault of ours");
    }
    if !(200..300).contains(&status) && answer.headers["content-type"] != "application/problem+json"
    {
        return wrong("an error is a problem document");
    }
    if public {
        return Ok(());
    }
    match who {
        Who::Nobody if status != 401 => wrong("nobody is signed in"),
        Who::Nobody => Ok(()),
        Who::Wide(role) | Who::Narrow(role) if !role_may(role, route.permission) => {
            if status == 403 {
                Ok(())
            } else {
                wrong("the role may not")
            }
        }
        Who::Narrow(_) if foreign && status != 404 => wrong("it belongs to another customer"),
        Who::Narrow(_) if foreign => Ok(()),
        Who::Wide(_) if status == 401 || status == 403 => wrong("the role may"),
        Who::Narrow(_) if status == 401 => wrong("they are signed in"),
        _ => Ok(()),
    }
}

#[tokio::test]
async fn every_route_answers_every_role_as_it_should_and_no_customer_sees_another() {
    let bench = Bench::start().await;
    let admin = bench.set_up().await;
    let known: Vec<(String, String)> = ROUTES
        .iter()
        .map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    for route in &bench.declared {
        assert!(
            known.contains(&(route.method.clone(), route.path.clone())),
            "{} {} is new: add it to ROUTES with a body that fits",
            route.method,
            route.path
        );
    }
    assert_eq!(
        known.len(),
        bench.declared.len(),
        "a route of ROUTES is gone"
    );

    let a = make(&bench, &admin, "alpha-mark").await;
    let b = make(&bench, &admin, "bravo-mark").await;
    let mut people: BTreeMap<usize, (Who, Browser)> = BTreeMap::new();
    people.insert(0, (Who::Nobody, Browser::default()));
    for role in ["viewer", "technician", "operator", "admin"] {
        let wide = bench
            .person(&admin, &format!("wide-{role}"), role, None)
            .await;
        let narrow = bench
            .person(&admin, &format!("narrow-{role}"), role, Some(&a.customer))
            .await;
        people.insert(people.len(), (Who::Wide(role), wide));
        people.insert(people.len(), (Who::Narrow(role), narrow));
    }
    let mut faults = Vec::new();
    let mut asked = 0;
    // Reads first, then what changes, then what deletes: each meets a whole world.
    let mut routes = bench.declared.clone();
    routes.sort_by_key(|route| match route.method.as_str() {
        "GET" => 0,
        "DELETE" => 2,
        _ => 1,
    });
    // Signing out would end the walk.
    routes.retain(|route| !(route.method == "DELETE" && route.path == "/api/v1/session"));
    for route in &routes {
        let (_, _, body) = ROUTES
            .iter()
            .find(|(method, path, _)| *method == route.method && *path == route.path)
            .unwrap();
        let names_something = route.path.contains("{id}") || route.path.ends_with("/range");
        for (who, browser) in people.values() {
            for (world, foreign) in [(&b, true), (&a, false)] {
                let body_names = route.method == "POST"
                    && body(world).is_some_and(|body| {
                        body.get("customer_id")
                            .or_else(|| body.get("site_id"))
                            .is_some()
                    });
                let answer = bench
                    .ask(
                        browser,
                        &route.method,
                        &world.path(&route.path),
                        body(world),
                    )
                    .await;
                asked += 1;
                faults.extend(
                    check(
                        route,
                        *who,
                        foreign && (names_something || body_names),
                        &answer,
                    )
                    .err(),
                );
                if matches!(who, Who::Narrow(_) | Who::Nobody) && answer.text.contains(b.mark) {
                    faults.push(format!(
                        "{who:?} reads of another customer in {} {}",
                        route.method, route.path
                    ));
                }
                for canary in ["canary-community", "canary-bearer", PASSWORD] {
                    if answer.text.contains(canary) {
                        faults.push(format!("{} {} tells a secret", route.method, route.path));
                    }
                }
            }
        }
    }
    for (path, parameter) in FILTERS {
        for (who, browser) in people.values() {
            let metric = if path.ends_with("/top") || path.ends_with("/range") {
                "&metric=rtt"
            } else {
                ""
            };
            let asked_path = format!("{path}?{parameter}={}{metric}", b.parameter(parameter));
            let answer = bench.ask(browser, "GET", &asked_path, None).await;
            asked += 1;
            let may = !(path.ends_with("audit") || path.ends_with("join-tokens"))
                || matches!(who, Who::Narrow("admin"))
                || matches!(who, Who::Narrow("technician")) && path.ends_with("join-tokens");
            if matches!(who, Who::Narrow(_)) && may && answer.status != 404 {
                faults.push(format!("{who:?} {asked_path}: {}", answer.status));
            }
            if matches!(who, Who::Narrow(_) | Who::Nobody) && answer.text.contains(b.mark) {
                faults.push(format!("{who:?} reads of another customer in {asked_path}"));
            }
        }
    }
    assert!(
        faults.is_empty(),
        "{} of {asked}:\n{}",
        faults.len(),
        faults.join("\n")
    );
    assert!(asked > 1_000, "{asked}");
}

#[tokio::test]
async fn secrets_reach_the_probe_and_nothing_else() {
    let bench = Bench::start().await;
    let admin = bench.set_up().await;
    let world = make(&bench, &admin, "alpha-mark").await;
    let v3 = json!({ "customer_id": world.customer, "name": "v3", "kind": "v3", "user_name": "ops", "security_level": "authPriv",
        "auth_protocol": "SHA-256", "auth_password": "canary-auth-1", "priv_protocol": "AES-128", "priv_password": "canary-priv-1" });
    let made = bench
        .ask(&admin, "POST", "/api/v1/credentials", Some(v3))
        .await
        .expect(201);
    let path = format!("/api/v1/sites/{}/site-config", world.site);
    let put = json!({ "revision": 1, "credential_ids": [made["id"], world.credential] });
    let config = bench
        .ask(&admin, "PUT", &path, Some(put.clone()))
        .await
        .expect(200);
    assert_eq!(config["revision"], 2);
    let stale = bench.ask(&admin, "PUT", &path, Some(put)).await;
    assert_eq!(stale.status, 409, "{}", stale.text);

    let scope = crate::scope::ProbeScope::new(
        world.customer.parse().unwrap(),
        world.site.parse().unwrap(),
        world.probe.parse().unwrap(),
    );
    let vault = bench.central.vault.clone();
    let document = bench
        .central
        .store
        .read(move |c| crate::store::site_config::document_for_probe(c, &scope, &vault, NOW))
        .await
        .unwrap();
    let opened: Vec<&str> = document
        .credentials
        .iter()
        .flat_map(|one| {
            [
                one.community.as_str(),
                &one.auth_password,
                &one.priv_password,
            ]
        })
        .filter(|text| !text.is_empty())
        .collect();
    assert_eq!(
        opened,
        ["canary-auth-1", "canary-priv-1", "canary-community"]
    );
    assert!(!format!("{document:?}").contains("canary"));

    // A wrong body is not quoted back, whatever stands in it.
    for body in [
        json!({ "customer_id": world.customer, "name": "x", "kind": "canary-kind" }),
        json!({ "customer_id": world.customer, "name": ["canary-name"], "kind": "v2c" }),
        json!({ "customer_id": world.customer, "name": "x", "kind": "v2c", "community": { "canary": 1 } }),
        json!({ "customer_id": world.customer, "name": "x", "kind": "v3", "user_name": "u", "security_level": "authNoPriv", "auth_protocol": "SHA-1", "auth_password": "canary" }),
    ] {
        let answer = bench
            .ask(&admin, "POST", "/api/v1/credentials", Some(body))
            .await;
        assert!(
            answer.status.is_client_error() && !answer.text.contains("canary"),
            "{}",
            answer.text
        );
    }
    let audit = bench
        .ask(&admin, "GET", "/api/v1/audit?limit=10000", None)
        .await;
    assert!(
        audit.text.contains("credential.create") && !audit.text.contains("canary"),
        "{}",
        audit.text
    );
    for name in ["central.db", "central.db-wal"] {
        let bytes = std::fs::read(bench.dir.path().join(name)).unwrap_or_default();
        let canary = b"canary";
        assert!(
            !bytes.windows(canary.len()).any(|part| part == canary),
            "{name} holds a secret in clear"
        );
    }
}

#[tokio::test]
async fn sessions_end_by_time_by_sign_out_and_with_their_account() {
    use std::time::Duration;
    let bench = Bench::start().await;
    let admin = bench.set_up().await;
    let me = async |who: &Browser| {
        bench
            .ask(who, "GET", "/api/v1/me", None)
            .await
            .status
            .as_u16()
    };
    assert_eq!(me(&admin).await, 200);
    bench.clock.advance(Duration::from_secs(29 * 60));
    assert_eq!(me(&admin).await, 200);
    bench.clock.advance(Duration::from_secs(29 * 60));
    assert_eq!(me(&admin).await, 200, "used, so not idle");
    bench.clock.advance(Duration::from_secs(31 * 60));
    assert_eq!(me(&admin).await, 401, "idle for half an hour");

    let admin = bench.sign_in("ada").await;
    for _ in 0..35 {
        bench.clock.advance(Duration::from_secs(20 * 60));
        assert_eq!(me(&admin).await, 200);
    }
    bench.clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(me(&admin).await, 401, "twelve hours, used or not");

    let admin = bench.sign_in("ada").await;
    let eve = bench.person(&admin, "eve", "viewer", None).await;
    let users = bench
        .ask(&admin, "GET", "/api/v1/users", None)
        .await
        .expect(200);
    let id = |name: &str| {
        let all = users["items"].as_array().unwrap();
        all.iter().find(|user| user["user_name"] == name).unwrap()["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let mut changes = bench.central.auth.changes();
    bench
        .ask(
            &admin,
            "DELETE",
            &format!("/api/v1/users/{}", id("eve")),
            None,
        )
        .await
        .expect(204);
    assert!(
        changes.has_changed().unwrap(),
        "open event streams look again"
    );
    changes.mark_unchanged();
    assert_eq!(me(&eve).await, 401, "the account is gone");
    bench
        .ask(
            &admin,
            "DELETE",
            &format!("/api/v1/users/{}", id("ada")),
            None,
        )
        .await
        .expect(409);

    let second = bench.sign_in("ada").await;
    let change = json!({ "password": { "current": PASSWORD, "new": "marigold osprey 77" } });
    bench
        .ask(&admin, "PATCH", "/api/v1/me", Some(change))
        .await
        .expect(200);
    assert_eq!(
        (me(&admin).await, me(&second).await),
        (200, 401),
        "the other sessions end"
    );
    let answer = bench.ask(&admin, "DELETE", "/api/v1/session", None).await;
    assert_eq!(answer.status, 204);
    assert!(
        answer.headers["set-cookie"]
            .to_str()
            .unwrap()
            .contains("Max-Age=0")
    );
    assert_eq!(me(&admin).await, 401);

    let link = bench
        .local(
            "POST",
            "/local/setup-link",
            Some(json!({ "user_name": "ada" })),
        )
        .await
        .expect(200);
    let token = link["link"]
        .as_str()
        .unwrap()
        .split("token=")
        .nth(1)
        .unwrap()
        .to_owned();
    let reset =
        json!({ "token": token, "user_name": "ada", "display_name": "Ada", "password": PASSWORD });
    bench
        .ask(&Browser::default(), "POST", "/api/v1/setup", Some(reset))
        .await
        .expect(201);
    bench.sign_in("ada").await;
}

#[tokio::test]
async fn guessing_a_password_is_slowed_and_said_so() {
    let bench = Bench::start().await;
    bench.set_up().await;
    let wrong = || {
        request(
            &Browser::default(),
            "POST",
            "/api/v1/session",
            Some(json!({ "user_name": "ada", "password": "wrong password 1" })),
        )
    };
    let mut statuses = Vec::new();
    for _ in 0..8 {
        statuses.push(
            bench
                .send_from("198.51.100.7", wrong())
                .await
                .status
                .as_u16(),
        );
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 429, 429]);
    let refused = bench.send_from("198.51.100.7", wrong()).await;
    assert!(
        refused.headers.contains_key("retry-after"),
        "{}",
        refused.text
    );
    bench.sign_in("ada").await;
}

#[tokio::test]
async fn hostile_names_come_back_as_the_text_they_are() {
    let bench = Bench::start().await;
    let admin = bench.set_up().await;
    for (i, name) in [
        "<script>alert(1)</script>",
        "'; DROP TABLE customers; --",
        "\"><img src=x onerror=alert(1)>",
        "{{7*7}} ${7*7} %s%n",
        "=cmd|' /C calc'!A0",
        "\u{202e}gnp.exe",
    ]
    .into_iter()
    .enumerate()
    {
        let made = bench
            .ask(
                &admin,
                "POST",
                "/api/v1/customers",
                Some(json!({ "name": name })),
            )
            .await
            .expect(201);
        assert_eq!(made["name"], name);
        let list = bench.ask(&admin, "GET", "/api/v1/customers", None).await;
        assert_eq!(list.headers["content-type"], "application/json");
        assert_eq!(list.headers["x-content-type-options"], "nosniff");
        assert_eq!(list.json()["total"], i + 1);
    }
    for name in ["a\nb", "nul\0", "\u{1b}[2J", ""] {
        bench
            .ask(
                &admin,
                "POST",
                "/api/v1/customers",
                Some(json!({ "name": name })),
            )
            .await
            .expect(422);
    }
    for query in [
        "q=%25",
        "q='",
        "after=%00",
        "sort=name;DROP",
        "state=up' OR 1=1",
        "limit=-1",
        "customer_id=x",
    ] {
        let status = bench
            .ask(
                &admin,
                "GET",
                &format!("/api/v1/devices?{}", query.replace(' ', "%20")),
                None,
            )
            .await
            .status;
        assert!(!status.is_server_error(), "{query}: {status}");
    }
}

#[tokio::test]
async fn open_pages_hear_of_their_own_customer_and_stop_with_their_session() {
    use futures::StreamExt as _;
    use tower::ServiceExt as _;
    let bench = Bench::start().await;
    let admin = bench.set_up().await;
    let a = make(&bench, &admin, "alpha-mark").await;
    let b = make(&bench, &admin, "bravo-mark").await;
    let viewer = bench
        .person(&admin, "narrow", "viewer", Some(&a.customer))
        .await;
    let mut page = request(&viewer, "GET", "/api/v1/live", None);
    page.extensions_mut().insert(crate::auth::session::Via {
        transport: crate::auth::session::Transport::Http,
        peer: "127.0.0.1".to_owned(),
    });
    let response = bench.router.clone().oneshot(page).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = response.into_body().into_data_stream();
    let mut next = async || {
        let chunk = tokio::time::timeout(std::time::Duration::from_secs(10), stream.next())
            .await
            .unwrap();
        chunk.map(|bytes| String::from_utf8(bytes.unwrap().to_vec()).unwrap())
    };
    assert!(next().await.unwrap().contains("event: hello"));
    for world in [&b, &a] {
        let path = format!("/api/v1/devices/{}", world.device);
        bench
            .ask(&admin, "PATCH", &path, Some(json!({ "note": "new" })))
            .await
            .expect(200);
    }
    let event = next().await.unwrap();
    assert!(
        event.contains("event: device") && event.contains(&a.device),
        "{event}"
    );
    bench
        .ask(&viewer, "DELETE", "/api/v1/session", None)
        .await
        .expect(204);
    assert_eq!(next().await, None, "signed out, so it hears nothing more");
}

#[tokio::test]
#[ignore = "a measurement: run it alone, with --run-ignored all --no-capture"]
async fn a_list_of_ten_thousand_devices() {
    let bench = Bench::start().await;
    let admin = bench.set_up().await;
    let world = make(&bench, &admin, "alpha-mark").await;
    let (c, s, p): (
        farwatch_shared::id::CustomerId,
        farwatch_shared::id::SiteId,
        ProbeId,
    ) = (
        world.customer.parse().unwrap(),
        world.site.parse().unwrap(),
        world.probe.parse().unwrap(),
    );
    bench
        .central
        .store
        .write(move |db| {
            let record = "x".repeat(8_000);
            for i in 2..=10_000u32 {
                let device = DeviceId::generate();
                db.prepare_cached(
                    "INSERT INTO devices (id, customer_id, site_id, record, name, address, vendor, model, state, state_since_ms, first_seen_ms)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'Cisco', 'C9300-48P', 5, 0, 0)",
                )?
                .execute((device, c, s, &record, format!("switch-{i}"), format!("10.0.{}.{}", i / 250, i % 250)))?;
                db.prepare_cached(
                    "INSERT INTO device_numbers (probe_id, device_no, device_id, customer_id, record) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute((p, i, device, c, &record))?;
                for hour in 0..6i64 {
                    db.prepare_cached("INSERT INTO device_states (device_id, from_ms, state) VALUES (?1, ?2, ?3)")?
                        .execute((device, NOW.ms() - hour * 3_600_000, if hour % 2 == 0 { 5 } else { 0 }))?;
                }
                for port in 0..24u32 {
                    db.prepare_cached(
                        "INSERT INTO interfaces (id, device_id, customer_id, if_index, name, descr, alias, mac, if_type, speed_bps, present)
                         VALUES (?1, ?2, ?3, ?4, 'Gi1/0/1', '', '', '', 6, 1000000000, 1)",
                    )?
                    .execute((InterfaceId::generate(), device, c, port))?;
                }
            }
            Ok(())
        })
        .await
        .unwrap();
    for path in [
        "/api/v1/devices?limit=10000",
        "/api/v1/devices",
        "/api/v1/overview",
        "/api/v1/customers",
    ] {
        let mut times = Vec::new();
        let mut size = 0;
        for round in 0..9 {
            if round == 5 {
                // From here on the strips are read again each time.
                bench.clock.advance(std::time::Duration::from_millis(1));
            }
            if round > 5 {
                bench.clock.advance(std::time::Duration::from_secs(5));
            }
            let start = std::time::Instant::now();
            let answer = bench.ask(&admin, "GET", path, None).await;
            times.push(start.elapsed().as_millis());
            assert_eq!(answer.status, 200);
            size = answer.text.len();
        }
        println!("{path}: {size} bytes, {times:?} ms (the last four with strips read anew)");
    }
}

#[tokio::test]
async fn nothing_with_effects_happens_without_the_token_and_our_own_origin() {
    let bench = Bench::start().await;
    let admin = bench.set_up().await;
    let world = make(&bench, &admin, "alpha-mark").await;
    let unsafe_routes: Vec<&Declared> = bench
        .declared
        .iter()
        .filter(|route| route.method != "GET")
        .collect();
    assert!(unsafe_routes.len() > 20);
    for route in unsafe_routes {
        let (_, _, body) = ROUTES
            .iter()
            .find(|(method, path, _)| *method == route.method && *path == route.path)
            .unwrap();
        let path = world.path(&route.path);
        let good = || request(&admin, &route.method, &path, body(&world));
        let mut attacks = Vec::new();
        for origin in [
            "https://evil.example",
            "http://127.0.0.1:8081",
            "null",
            "https://127.0.0.1:8080",
        ] {
            let mut attack = good();
            attack
                .headers_mut()
                .insert("origin", origin.parse().unwrap());
            attacks.push(attack);
        }
        for site in ["cross-site", "same-site"] {
            let mut attack = good();
            attack
                .headers_mut()
                .insert("sec-fetch-site", site.parse().unwrap());
            attacks.push(attack);
        }
        let mut rebound = good();
        rebound
            .headers_mut()
            .insert("host", "rebind.example:8080".parse().unwrap());
        rebound
            .headers_mut()
            .insert("origin", "http://rebind.example:8080".parse().unwrap());
        attacks.push(rebound);
        if route.permission != "public" {
            for token in [None, Some(""), Some("wrong")] {
                let mut attack = good();
                attack.headers_mut().remove("x-csrf-token");
                if let Some(token) = token {
                    attack
                        .headers_mut()
                        .insert("x-csrf-token", token.parse().unwrap());
                }
                attacks.push(attack);
            }
        }
        for attack in attacks {
            let headers = format!("{:?}", attack.headers());
            let status = bench.send(attack).await.status.as_u16();
            assert!(
                matches!(status, 400 | 403),
                "{} {path}: {status} with {headers}",
                route.method
            );
        }
    }
}

#[tokio::test]
async fn set_up_has_no_second_door() {
    let bench = Bench::start().await;
    let stranger = Browser::default();
    let body = |token: &str| {
        Some(
            json!({ "token": token, "user_name": "eve", "display_name": "Eve", "password": PASSWORD }),
        )
    };
    let guess = "A".repeat(43);
    bench
        .ask(&stranger, "POST", "/api/v1/setup", body(&guess))
        .await
        .expect(404);
    let setup = bench
        .ask(&stranger, "GET", "/api/v1/setup", None)
        .await
        .expect(200);
    assert_eq!(setup["needed"], true);
    let token = bench.setup_token().await;
    bench
        .ask(&stranger, "POST", "/api/v1/setup", body(&token))
        .await
        .expect(201);
    bench
        .ask(&stranger, "POST", "/api/v1/setup", body(&token))
        .await
        .expect(404);
    bench
        .local("POST", "/local/setup-link", None)
        .await
        .expect(409);
    let setup = bench
        .ask(&stranger, "GET", "/api/v1/setup", None)
        .await
        .expect(200);
    assert_eq!(setup["needed"], false);

    let spellings = [
        "/api/v1/setup/",
        "//api/v1/setup",
        "/api//v1/setup",
        "/api/v1//setup",
        "/api/v1/setup//",
        "/api/v1/setup/x",
        "/api/v1/setup;x",
        "/api/v1/setup;x=1",
        "/api/v1/setup%2f",
        "/api/v1%2fsetup",
        "/api/v1/%73etup",
        "/API/v1/setup",
        "/api/v1/SETUP",
        "/api/v1/Setup",
        "/api/v1/./setup",
        "/api/v1/x/../setup",
        "/api/v1/setup%00",
        "/api/v1/setup%20",
        "/api/v1/setup.json",
        "/api/v1/setup~",
        "/api/v1/setup\\",
        "/local/setup-link",
        "//local/setup-link",
        "/local%2fsetup-link",
        "/api/v1/local/setup-link",
        "/local/backup",
        "/local/summary",
        "/local/audit-verify",
    ];
    let methods = [
        "POST", "PUT", "PATCH", "DELETE", "GET", "HEAD", "OPTIONS", "TRACE", "post", "SETUP",
    ];
    for path in spellings {
        for method in methods {
            for host in ["127.0.0.1:8080", "localhost:8080", "[::1]:8080"] {
                let mut attack = request(&stranger, method, path, body(&token));
                attack.headers_mut().insert("host", host.parse().unwrap());
                attack
                    .headers_mut()
                    .insert("origin", format!("http://{host}").parse().unwrap());
                for name in [
                    "x-forwarded-for",
                    "x-original-url",
                    "x-rewrite-url",
                    "x-forwarded-host",
                ] {
                    attack
                        .headers_mut()
                        .insert(name, "/api/v1/setup".parse().unwrap());
                }
                let answer = bench.send(attack).await;
                // Beside the API every address is the console's page, which knows nothing.
                let is_page = answer
                    .headers
                    .get("content-type")
                    .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
                assert!(
                    !answer.status.is_success() || (is_page && matches!(method, "GET" | "HEAD")),
                    "{method} {path} at {host}: {}",
                    answer.status
                );
                assert!(
                    answer.headers.get("set-cookie").is_none(),
                    "{method} {path}"
                );
            }
        }
    }
    let count: i64 = bench
        .central
        .store
        .read(|c| c.query_row("SELECT count(*) FROM users", [], |row| row.get(0)))
        .await
        .unwrap();
    assert_eq!(count, 1);
}

#[tokio::test]
async fn every_answer_carries_the_headers_of_a_closed_page() {
    let bench = Bench::start().await;
    let admin = bench.set_up().await;
    let world = make(&bench, &admin, "alpha-mark").await;
    let mut paths: Vec<(String, String)> = bench
        .declared
        .iter()
        .map(|route| (route.method.clone(), world.path(&route.path)))
        .collect();
    for path in [
        "/",
        "/devices",
        "/assets/nothing.js",
        "/api/v1/nothing",
        "//",
        "/favicon.ico",
    ] {
        paths.push(("GET".to_owned(), path.to_owned()));
        paths.push(("BREW".to_owned(), path.to_owned()));
    }
    for (method, path) in paths {
        for who in [&Browser::default(), &admin] {
            let answer = bench.ask(who, &method, &path, None).await;
            for name in super::headers::names() {
                assert!(
                    answer.headers.contains_key(name),
                    "{method} {path}: no {name}"
                );
            }
            let policy = answer.headers["content-security-policy"].to_str().unwrap();
            assert!(
                policy.starts_with("default-src 'none'") && !policy.contains("unsafe"),
                "{policy}"
            );
            assert!(answer.headers.get("access-control-allow-origin").is_none());
            if path.starts_with("/api") {
                assert_eq!(
                    answer.headers["cache-control"], "no-store",
                    "{method} {path}"
                );
            }
        }
    }
}
