//! Questions and bodies as they come in over HTTP.

#![allow(
    clippy::unwrap_used,
    reason = "these are tests: a broken promise is a panic"
)]

use axum::extract::Query;
use axum::http::Uri;
use farwatch_shared::clock::Timestamp;
use farwatch_shared::fuzz::Target;
use serde::de::DeserializeOwned;

use super::metrics::{RangeQuery, TopQuery};
use crate::metrics::fuzz::points;
use crate::store::page::{Page, PageQuery};
use crate::store::site_config::{self, SiteSettings};
use crate::store::value::{Id, Time};

/// Queries and JSON.
pub const TARGETS: &[Target] = &[
    Target::new("range_query", range_query, || {
        let id = "0192f0c1-7b6e-7c3a-8000-0123456789ab";
        vec![
            format!("device={id}&metric=rtt,ifHCInOctets&from=2026-11-23T08:00:00Z&to=1795500000000&step=60").into_bytes(),
            format!("device={id}&metric=rtt&instance={id}&raw=true&from=0&to=253402300799999").into_bytes(),
        ]
    })
    .longest(8 * 1024)
    .memory(4 << 20, 256),
    Target::new("page_query", page_query, || {
        let page = Page::from_overfull(
            vec![("Meyer".to_owned(), Id(uuid::Uuid::nil())); 3],
            2,
            9,
            Clone::clone,
        );
        vec![format!("limit=200&after={}", page.next.unwrap()).into_bytes()]
    })
    .longest(8 * 1024),
    Target::new("json_body", json_body, || {
        [
            r#"{"name":"Meyer","time_zone":"Europe/Berlin","contact":null}"#,
            r#"{"name":"NOC","kind":"email","settings":{"to":["a@b.example"]},"secret":"x"}"#,
            r#"{"confirm_name":"Meyer"}"#,
            r#"{"valid_s":1800,"name":"box-1","site_id":"0192f0c1-7b6e-7c3a-8000-0123456789ab"}"#,
            r#"{"name":"core","kind":"v3","user_name":"monitor","auth_protocol":"SHA-256","auth_password":"password1"}"#,
            r#"{"email":"a@b.example","password":"correct horse battery staple"}"#,
        ]
        .map(|text| text.as_bytes().to_vec())
        .into()
    })
    .memory(256 * 1024, 128)
    .cost(2),
    Target::new("site_settings", site_settings, || {
        vec![serde_json::to_vec(&SiteSettings::default()).unwrap(), br#"{"ranges":["10.0.0.0/22","2001:db8::/120"],"exclude":["10.0.3.0/24"],"snmp_ports":[161,1161],"allow_loopback":false,"icmp_interval_s":10,"poll_interval_s":60,"inventory_interval_s":3600,"discovery_interval_s":3600,"icmp_rate_per_s":500}"#.to_vec()]
    })
    .memory(256 * 1024, 128),
];

fn query<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let uri = Uri::try_from([b"/?", bytes].concat()).ok()?;
    Query::<T>::try_from_uri(&uri).ok().map(|query| query.0)
}

fn range_query(bytes: &[u8]) -> bool {
    let _ = query::<TopQuery>(bytes);
    let Some(query) = query::<RangeQuery>(bytes) else {
        return false;
    };
    let Ok(wanted) = query.check(Timestamp(1_795_500_000_000)) else {
        return false;
    };
    assert!(wanted.from < wanted.to && (1..=32).contains(&wanted.metrics.len()));
    let points = points(wanted.from.ms(), wanted.to.ms(), wanted.step_s);
    assert!(points <= 100_001, "{points} points");
    true
}

fn page_query(bytes: &[u8]) -> bool {
    let Some(query) = query::<PageQuery>(bytes) else {
        return false;
    };
    assert!((1..=10_000).contains(&query.limit()));
    let items: Vec<(String, Id)> = (0..50_u128)
        .map(|at| (format!("{at:02}"), Id(uuid::Uuid::from_u128(at))))
        .collect();
    let page = Page::of_sorted(items, &query, Clone::clone);
    assert!(page.items.len() <= query.limit());
    query.after::<(String, Id)>().is_some()
}

fn json_body(bytes: &[u8]) -> bool {
    fn reads<T: DeserializeOwned>(bytes: &[u8]) -> bool {
        serde_json::from_slice::<T>(bytes).is_ok()
    }
    if let Ok(time) = serde_json::from_slice::<Time>(bytes) {
        let text = serde_json::to_vec(&time).unwrap();
        assert_eq!(serde_json::from_slice::<Time>(&text).unwrap(), time);
    }
    [
        reads::<super::channels::CreateChannel>,
        reads::<super::channels::UpdateChannel>,
        reads::<super::credentials::CreateCredential>,
        reads::<super::credentials::UpdateCredential>,
        reads::<super::customers::ConfirmDelete>,
        reads::<super::customers::CreateCustomer>,
        reads::<super::customers::UpdateCustomer>,
        reads::<super::devices::AddDevice>,
        reads::<super::devices::UpdateDevice>,
        reads::<super::incidents::IncidentNoteBody>,
        reads::<super::incidents::IncidentStepBody>,
        reads::<super::join_tokens::CreateJoinToken>,
        reads::<super::me::MeChange>,
        reads::<super::me::PasswordChange>,
        reads::<super::probes::RevokeProbe>,
        reads::<super::probes::UpdateProbe>,
        reads::<super::session::SignIn>,
        reads::<super::setup::SetupRequest>,
        reads::<super::sites::CreateSite>,
        reads::<super::sites::UpdateSite>,
        reads::<super::users::CreateUser>,
        reads::<serde_json::Value>,
    ]
    .iter()
    .fold(false, |good, read| good | read(bytes))
}

/// A site's settings: what passes may be asked by a probe.
fn site_settings(bytes: &[u8]) -> bool {
    let _ = serde_json::from_slice::<super::site_config::PutSiteConfig>(bytes);
    let Ok(settings) = serde_json::from_slice::<SiteSettings>(bytes) else {
        return false;
    };
    if site_config::check(&settings).is_ok() {
        assert!(settings.ranges.len() <= 1_000 && (1..=8).contains(&settings.snmp_ports.len()));
        let again: SiteSettings =
            serde_json::from_slice(&serde_json::to_vec(&settings).unwrap()).unwrap();
        assert_eq!(
            serde_json::to_vec(&again).unwrap(),
            serde_json::to_vec(&settings).unwrap()
        );
    }
    true
}
