//! Server-sent events: what changed, for open pages. An event never carries the truth; the page asks again.

use std::convert::Infallible;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use farwatch_shared::id::{CustomerId, SiteId};
use futures::Stream;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast::error::RecvError;
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::Params;
use super::guard::{Routes, SessionHash};
use crate::auth::scope::Permission;
use crate::live::LiveEvent;
use crate::scope::Scope;
use crate::store::value::Id;
use crate::store::{customers, sites};

/// A page learns the time, and that the line is alive, this often.
const TICK: Duration = Duration::from_secs(5);

pub(super) fn routes(routes: Routes) -> Routes {
    routes.add(Permission::See, routes!(get_live))
}

/// Of what.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LiveQuery {
    /// Only of this customer.
    customer_id: Option<Id>,
    /// Only of this site.
    site_id: Option<Id>,
}

/// What of the stream a page sees.
#[derive(Clone, Debug)]
struct Wanted {
    scope: Scope,
    customer: Option<CustomerId>,
    site: Option<SiteId>,
}

impl Wanted {
    fn takes(&self, event: &LiveEvent) -> bool {
        self.scope.sees(event.customer)
            && self.customer.is_none_or(|only| only == event.customer)
            && self.site.is_none_or(|only| only == event.site)
    }
}

/// Events from here on, or from `Last-Event-ID`; `reset` says that the page has to reload.
#[utoipa::path(get, path = "/api/v1/live", tag = "live", operation_id = "get_live", params(LiveQuery), responses((status = 200, content_type = "text/event-stream", body = String), (status = 404)))]
async fn get_live(
    State(central): State<Central>,
    scope: Scope,
    session: Option<Extension<SessionHash>>,
    headers: HeaderMap,
    Params(query): Params<LiveQuery>,
) -> Result<Response, ApiError> {
    let wanted = Wanted {
        scope,
        customer: query.customer_id.map(Into::into),
        site: query.site_id.map(Into::into),
    };
    let (scope, customer, site) = (wanted.scope.clone(), wanted.customer, wanted.site);
    let seen = central
        .read(move |c| {
            let customer = match customer {
                Some(id) => customers::get(c, &scope, id)?.is_some(),
                None => true,
            };
            let site = match site {
                Some(id) => sites::get(c, &scope, id)?.is_some(),
                None => true,
            };
            Ok(customer && site)
        })
        .await?;
    if !seen {
        return Err(ApiError::NotFound);
    }
    let last = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok()?.parse().ok());
    let session = session.map(|Extension(SessionHash(hash))| hash);
    let stream = follow(central, wanted, last, session);
    let mut response = Sse::new(stream).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that buffers would hold events back.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

/// Where a page's stream is.
struct Following {
    central: Central,
    wanted: Wanted,
    session: Option<[u8; 32]>,
    events: tokio::sync::broadcast::Receiver<LiveEvent>,
    sessions: tokio::sync::watch::Receiver<u64>,
    ticks: tokio::time::Interval,
    ready: std::collections::VecDeque<Event>,
    over: bool,
}

fn follow(
    central: Central,
    wanted: Wanted,
    last: Option<u64>,
    session: Option<[u8; 32]>,
) -> impl Stream<Item = Result<Event, Infallible>> {
    let subscription = central.live.subscribe(last);
    let mut ready = std::collections::VecDeque::new();
    let hello = json!({ "server_time": central.now().to_string(), "seq": subscription.seq });
    ready.push_back(event("hello", &hello).id(subscription.seq.to_string()));
    match subscription.missed {
        Some(missed) => ready.extend(missed.iter().filter(|e| wanted.takes(e)).map(numbered)),
        None => ready.push_back(event("reset", &json!({}))),
    }
    let mut ticks = tokio::time::interval(TICK);
    ticks.reset();
    let sessions = central.auth.changes();
    let following = Following {
        central,
        wanted,
        session,
        events: subscription.events,
        sessions,
        ticks,
        ready,
        over: false,
    };
    futures::stream::unfold(following, |mut following| async move {
        let event = following.next().await?;
        Some((Ok(event), following))
    })
}

impl Following {
    /// The next event; `None` ends the stream: the session is over, or Central stops.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            tokio::select! {
                () = self.central.drain.cancelled() => return None,
                changed = self.sessions.changed() => {
                    if changed.is_err() || !self.session_is_good().await {
                        return None;
                    }
                }
                received = self.events.recv() => match received {
                    Ok(event) if self.wanted.takes(&event) => return Some(numbered(&event)),
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => return Some(event("reset", &json!({}))),
                    Err(RecvError::Closed) => self.over = true,
                },
                _ = self.ticks.tick() => {
                    if !self.session_is_good().await {
                        return None;
                    }
                    return Some(event("tick", &json!({ "server_time": self.central.now().to_string() })));
                }
            }
        }
    }

    async fn session_is_good(&self) -> bool {
        match self.session {
            None => true,
            Some(hash) => self.central.auth.is_good(hash).await.unwrap_or(false),
        }
    }
}

fn event(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}

fn numbered(live: &LiveEvent) -> Event {
    event(live.name, &live.data).id(live.id.to_string())
}
