//! E-mail and webhook: fixed texts, fixed fields, no templates.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use farwatch_shared::clock::Timestamp;
use farwatch_shared::id::ChannelId;
use farwatch_shared::model::Severity;
use lettre::message::{Mailbox, header};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use serde::{Deserialize, Serialize};

/// One try may take this long.
const DEADLINE: Duration = Duration::from_secs(20);

/// Opens the sealed secret of a channel.
pub trait Secrets: Send + Sync {
    /// The secret in clear, or why it cannot be had.
    ///
    /// # Errors
    /// A sentence for the channel's page.
    fn open_channel(
        &self,
        channel: ChannelId,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<String, String>;
}

/// A channel as the outbox reads it.
#[derive(Clone)]
pub struct Channel {
    /// Which.
    pub id: ChannelId,
    /// Its name.
    pub name: String,
    /// `email` or `webhook`.
    pub kind: String,
    /// JSON of [`EmailSettings`] or [`WebhookSettings`].
    pub settings: String,
    /// Key of the sealed secret.
    pub key_id: Option<String>,
    /// SMTP password or webhook bearer token.
    pub sealed: Option<Vec<u8>>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Where and how mail is handed over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EmailSettings {
    /// Mail server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// `none`, `starttls`, `tls`.
    pub security: String,
    /// Empty for a server that asks for none.
    #[serde(default)]
    pub user_name: String,
    /// Sender's address.
    pub from: String,
    /// Receivers' addresses.
    pub to: Vec<String>,
}

/// Where a webhook goes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WebhookSettings {
    /// `https://…` (or `http://` inside one's own network).
    pub url: String,
}

/// What is told.
#[derive(Clone, Debug)]
pub struct Notification {
    /// `opened`, `resolved` or `test`.
    pub what: String,
    /// The same for every try.
    pub dedup_key: String,
    /// Incident's number.
    pub incident: i64,
    /// `device_down`, `probe_silent`, `site_unreachable`.
    pub kind: String,
    /// Object and what is wrong.
    pub title: String,
    /// What follows from it.
    pub consequence: String,
    /// [`Severity`] code.
    pub severity: u8,
    /// When it began.
    pub opened: Timestamp,
    /// When it ended.
    pub resolved: Option<Timestamp>,
    /// Customer's name.
    pub customer: String,
    /// Site's name.
    pub site: String,
}

impl Notification {
    /// One that a person asked for to see whether a channel works.
    #[must_use]
    pub fn test(channel: &str, now: Timestamp) -> Self {
        Self {
            what: "test".to_owned(),
            dedup_key: format!("farwatch-test-{}", now.ms()),
            incident: 0,
            kind: "test".to_owned(),
            title: format!("Test of channel {channel}"),
            consequence: "Nothing is wrong; somebody pressed the test button.".to_owned(),
            severity: Severity::Cleared.code(),
            opened: now,
            resolved: None,
            customer: String::new(),
            site: String::new(),
        }
    }

    /// The subject: makes sense alone in a list of mails or an SMS.
    #[must_use]
    pub fn subject(&self) -> String {
        match self.what.as_str() {
            "resolved" => format!("Resolved: {}", self.title),
            _ => self.title.clone(),
        }
    }

    /// The body of a mail, plain text.
    #[must_use]
    pub fn text(&self, link: &str) -> String {
        let mut lines = vec![self.subject()];
        if !self.consequence.is_empty() {
            lines.push(self.consequence.clone());
        }
        if !self.customer.is_empty() {
            lines.push(format!("{} / {}", self.customer, self.site));
        }
        lines.push(format!("Since {}", self.opened));
        if let Some(resolved) = self.resolved {
            lines.push(format!("Resolved {resolved}"));
        }
        if self.incident > 0 && !link.is_empty() {
            lines.push(String::new());
            lines.push(format!("{link}/incidents/{}", self.incident));
        }
        lines.join("\n")
    }
}

/// Sends notifications. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    http: reqwest::Client,
    secrets: Arc<dyn Secrets>,
    /// Where the console is reached, for links; may be empty.
    link: String,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

impl Sender {
    /// A sender whose links begin with `link` (`https://console.example`).
    ///
    /// # Errors
    /// The HTTP client cannot be built (no TLS provider installed).
    pub fn new(secrets: Arc<dyn Secrets>, link: String) -> Result<Self, reqwest::Error> {
        // No redirects: the address that was configured is the one that is told.
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(DEADLINE)
            .build()?;
        Ok(Self {
            http,
            secrets,
            link,
        })
    }

    /// Sends once; the answer is a few words for the channel's page.
    ///
    /// # Errors
    /// A sentence that says what went wrong, without secrets.
    pub async fn send(
        &self,
        channel: &Channel,
        notification: &Notification,
    ) -> Result<String, String> {
        let secret = match (&channel.key_id, &channel.sealed) {
            (Some(key_id), Some(sealed)) => {
                Some(self.secrets.open_channel(channel.id, key_id, sealed)?)
            }
            _ => None,
        };
        let sending = async {
            match channel.kind.as_str() {
                "email" => self.mail(channel, notification, secret).await,
                "webhook" => self.hook(channel, notification, secret).await,
                other => Err(format!("channels of kind {other} are not known")),
            }
        };
        tokio::time::timeout(DEADLINE, sending)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {} s", DEADLINE.as_secs())))
    }

    async fn mail(
        &self,
        channel: &Channel,
        notification: &Notification,
        secret: Option<String>,
    ) -> Result<String, String> {
        let settings: EmailSettings = serde_json::from_str(&channel.settings)
            .map_err(|error| format!("settings: {error}"))?;
        let from: Mailbox = settings
            .from
            .parse()
            .map_err(|_| format!("{} is not a mail address", settings.from))?;
        let mut message = Message::builder()
            .from(from)
            .subject(one_line(&notification.subject()))
            .message_id(Some(format!("<{}@farwatch>", notification.dedup_key)))
            .header(header::ContentType::TEXT_PLAIN);
        for to in &settings.to {
            message = message.to(to
                .parse()
                .map_err(|_| format!("{to} is not a mail address"))?);
        }
        let message = message
            .body(notification.text(&self.link))
            .map_err(|error| format!("the mail cannot be made: {error}"))?;
        let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .timeout(Some(DEADLINE));
        if settings.security != "none" {
            let parameters = TlsParameters::new(settings.host.clone())
                .map_err(|error| format!("TLS: {error}"))?;
            transport = transport.tls(if settings.security == "tls" {
                Tls::Wrapper(parameters)
            } else {
                Tls::Required(parameters)
            });
        }
        if let Some(secret) = secret
            && !settings.user_name.is_empty()
        {
            transport = transport.credentials(Credentials::new(settings.user_name.clone(), secret));
        }
        let answer = transport
            .build()
            .send(message)
            .await
            .map_err(|error| chain(&error))?;
        Ok(format!("{} accepted it ({})", settings.host, answer.code()))
    }

    async fn hook(
        &self,
        channel: &Channel,
        notification: &Notification,
        secret: Option<String>,
    ) -> Result<String, String> {
        let settings: WebhookSettings = serde_json::from_str(&channel.settings)
            .map_err(|error| format!("settings: {error}"))?;
        let link = if notification.incident > 0 && !self.link.is_empty() {
            format!("{}/incidents/{}", self.link, notification.incident)
        } else {
            String::new()
        };
        let body = serde_json::json!({
            "event": format!("incident.{}", notification.what),
            "dedup_key": notification.dedup_key,
            "incident": {
                "id": notification.incident,
                "kind": notification.kind,
                "title": notification.title,
                "consequence": notification.consequence,
                "severity": Severity::from_code(notification.severity).map(Severity::as_str),
                "customer": notification.customer,
                "site": notification.site,
                "opened_at": notification.opened.to_string(),
                "resolved_at": notification.resolved.map(|at| at.to_string()),
                "url": link,
            },
        });
        let mut request = self
            .http
            .post(&settings.url)
            .header("idempotency-key", &notification.dedup_key)
            .json(&body);
        if let Some(secret) = secret {
            request = request.bearer_auth(secret);
        }
        let answer = request
            .send()
            .await
            .map_err(|error| chain(&error.without_url()))?;
        let status = answer.status();
        if status.is_success() {
            Ok(format!("answered {status}"))
        } else {
            Err(format!("the receiver answered {status}"))
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}

fn chain(error: &dyn std::error::Error) -> String {
    farwatch_shared::error::Chain(error).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn down() -> Notification {
        Notification {
            what: "opened".to_owned(),
            dedup_key: "farwatch-7-opened".to_owned(),
            incident: 7,
            kind: "device_down".to_owned(),
            title: "<script>alert(1)</script>\r\nBcc: all@example.com is down".to_owned(),
            consequence: "no answer to 4 pings".to_owned(),
            severity: Severity::Critical.code(),
            opened: Timestamp(0),
            resolved: None,
            customer: "Kestrel".to_owned(),
            site: "Rotterdam".to_owned(),
        }
    }

    #[test]
    fn a_hostile_name_cannot_add_a_header() {
        assert!(!one_line(&down().subject()).contains(['\r', '\n']));
    }

    #[test]
    fn a_mail_says_what_where_since_when_and_links_to_the_incident() {
        let text = down().text("https://noc.example");
        for part in [
            "no answer to 4 pings",
            "Kestrel / Rotterdam",
            "Since 1970-01-01T00:00:00.000Z",
            "https://noc.example/incidents/7",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
    }
}
