//! The HTTP client: one GET with our redirect rules, and which failures may pass.
//!
//! `ureq` and rustls are behind this file; they are set up with the first request, so a program
//! that finds its module in the cache pays nothing for them. The body goes to `download`.

use std::io::{self, Read};
use std::sync::OnceLock;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, Response, header};
use ureq::tls::TlsConfig;

use crate::options::{HubOptions, Redirects};
use crate::progress::Progress;
use crate::url::Url;
use crate::{Error, ErrorKind};

/// Set up at the first request.
#[derive(Debug, Default)]
pub(crate) struct Client(OnceLock<Agent>);

/// A request for the bytes from `range.0` on, if they still belong to the version `range.1`.
pub(crate) struct Get<'a> {
    pub(crate) url: &'a Url,
    pub(crate) range: Option<(u64, &'a str)>,
    pub(crate) authorization: Option<&'a str>,
}

/// The head of the answer after all redirects.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
}

/// A request that failed; `retry` says whether it may go better the next time, and after how long
/// the server wants to see us again.
pub(crate) struct Failure {
    pub(crate) error: Error,
    pub(crate) retry: Option<Duration>,
}

impl Failure {
    /// One that will not go better.
    pub(crate) fn last(error: Error) -> Self {
        Failure { error, retry: None }
    }

    /// One that may pass.
    pub(crate) fn passing(error: Error) -> Self {
        Failure { error, retry: Some(Duration::ZERO) }
    }
}

impl Client {
    /// Head and body of what `get` asks for, following redirects.
    pub(crate) fn get(
        &self,
        get: &Get<'_>,
        options: &HubOptions,
    ) -> Result<(Answer, impl Read + use<>), Failure> {
        let mut url = get.url.clone();
        for _ in 0..=options.redirects.limit {
            options.report(&Progress::Connecting { url: &url.to_string() });
            let response = self.call(&url, get, options)?;
            match redirect(&url, &response, options).map_err(Failure::last)? {
                Some(next) => url = next,
                None => return Ok(answer(url, response)),
            }
        }
        let message = format!("{}: more than {} redirects", get.url, options.redirects.limit);
        Err(Failure::last(Error::new(ErrorKind::Redirect, message)))
    }

    fn call(
        &self,
        url: &Url,
        get: &Get<'_>,
        options: &HubOptions,
    ) -> Result<Response<ureq::Body>, Failure> {
        let agent = self.0.get_or_init(|| agent(options));
        // As it is stored: a compressed archive must not be unpacked on the way.
        let mut request = agent.get(url.uri()).header(header::ACCEPT_ENCODING, "identity");
        if let Some((from, version)) = get.range {
            request = request
                .header(header::RANGE, format!("bytes={from}-"))
                .header(header::IF_RANGE, version);
        }
        if let Some(value) = get.authorization.filter(|_| url.same_origin(get.url)) {
            request = request.header(header::AUTHORIZATION, value);
        }
        request.call().map_err(|error| failure(url, error))
    }
}

fn agent(options: &HubOptions) -> Agent {
    let tls = TlsConfig::builder().disable_verification(!options.check_certificates).build();
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("mobilenet/", env!("CARGO_PKG_VERSION")))
        .accept("application/gzip, application/x-tar, */*")
        .tls_config(tls)
        .timeout_connect(Some(options.timeouts.connect))
        .timeout_resolve(Some(options.timeouts.connect))
        .timeout_per_read(Some(options.timeouts.idle))
        .timeout_per_write(Some(options.timeouts.idle))
        .timeout_per_call(options.timeouts.total)
        .build()
        .into()
}

/// Where `response` redirects to; an error if we must not go there.
fn redirect(
    url: &Url,
    response: &Response<ureq::Body>,
    options: &HubOptions,
) -> Result<Option<Url>, Error> {
    if ![301, 302, 303, 307, 308].contains(&response.status().as_u16()) {
        return Ok(None);
    }
    let refuse = |why: &str| Error::new(ErrorKind::Redirect, format!("{url}: {why}"));
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or_else(|| refuse("redirects without saying where to"))?;
    let next = url
        .join(location)
        .map_err(|error| refuse(&format!("redirects to `{}`: {error}", location.escape_debug())))?;
    match objection(url, &next, &options.redirects) {
        Some(why) => Err(refuse(&format!("redirects {why}, {next}"))),
        None => Ok(Some(next)),
    }
}

/// Why a redirect must not be followed.
fn objection(from: &Url, to: &Url, rules: &Redirects) -> Option<&'static str> {
    if from.is_https() && !to.is_https() && !rules.allow_downgrade {
        return Some("from https to http");
    }
    (to.is_private() && !from.is_private() && !rules.allow_private)
        .then_some("to a private address")
}

fn answer(url: Url, response: Response<ureq::Body>) -> (Answer, impl Read + use<>) {
    let (parts, body) = response.into_parts();
    (Answer { status: parts.status.as_u16(), url, headers: parts.headers }, body.into_reader())
}

/// What a request that got no answer means.
fn failure(url: &Url, error: ureq::Error) -> Failure {
    let passes = match &error {
        ureq::Error::Timeout(_) | ureq::Error::Protocol(_) => true,
        ureq::Error::Io(error) => may_pass(error),
        _ => false,
    };
    let kind = match &error {
        ureq::Error::Protocol(_) | ureq::Error::LargeResponseHeader(..) => ErrorKind::Server,
        _ => ErrorKind::Network,
    };
    let error = Error::new(kind, format!("{url}: {error}")).caused_by(error);
    if passes { Failure::passing(error) } else { Failure::last(error) }
}

/// A server that is not there, a name that leads nowhere (there may be no network at all) and a
/// certificate that is not good stay so.
fn may_pass(error: &io::Error) -> bool {
    // The standard library has no kind for this.
    let unknown_name = || error.to_string().starts_with("failed to lookup address information");
    let lasts = matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
    );
    !lasts && !unknown_name()
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The length of the body, when the server tells.
    pub(crate) fn length(&self) -> Option<u64> {
        self.header("content-length")?.trim().parse().ok()
    }

    /// Whether the body comes in chunks, the last of which says that it is.
    pub(crate) fn is_chunked(&self) -> bool {
        self.header("transfer-encoding")
            .is_some_and(|coding| coding.to_ascii_lowercase().contains("chunked"))
    }

    /// First byte and total length of a partial answer: `bytes 100-199/200`.
    pub(crate) fn content_range(&self) -> Option<(u64, Option<u64>)> {
        let (range, total) =
            self.header("content-range")?.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, _) = range.split_once('-')?;
        Some((first.parse().ok()?, total.parse().ok()))
    }

    /// What tells this version of the file from another, for a later `If-Range`: a strong `ETag`,
    /// or the date of the last change.
    pub(crate) fn version(&self) -> Option<&str> {
        let strong = self.header("etag").filter(|tag| tag.starts_with('"'));
        strong.or_else(|| self.header("last-modified"))
    }

    /// An error for an answer that is not the file.
    pub(crate) fn refused(&self) -> Failure {
        let status = self.status;
        let message = format!("{}: the server answered {status}{}", self.url, meaning(status));
        let error = |kind| Error::new(kind, message.clone());
        match status {
            404 | 410 => Failure::last(error(ErrorKind::NotFound)),
            401 | 403 => Failure::last(error(ErrorKind::Server).hint(
                "if it is on Kaggle: set KAGGLE_USERNAME and KAGGLE_KEY and accept the \
                 model's licence on its page",
            )),
            408 | 425 | 429 | 500..=599 => {
                let after = self.header("retry-after").and_then(|value| value.trim().parse().ok());
                let retry = Duration::from_secs(after.unwrap_or(0));
                Failure { error: error(ErrorKind::Server), retry: Some(retry) }
            }
            _ => Failure::last(error(ErrorKind::Server)),
        }
    }
}

fn meaning(status: u16) -> String {
    let status = ureq::http::StatusCode::from_u16(status).ok();
    status.and_then(|s| s.canonical_reason()).map_or(String::new(), |text| format!(" ({text})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_neither_lose_encryption_nor_reach_inside() {
        let strict = Redirects::default();
        let loose = Redirects { allow_downgrade: true, allow_private: true, ..strict };
        for (from, to, fine) in [
            ("https://a/", "https://b/", true),
            ("http://a/", "https://b/", true),
            ("http://a/", "http://b/", true),
            ("https://a/", "http://a/", false),
            ("https://a/", "https://127.0.0.1/", false),
            ("http://a/", "http://169.254.169.254/latest/meta-data", false),
            ("http://a/", "http://[::1]/", false),
            ("http://10.0.0.1/", "http://10.0.0.2/", true),
        ] {
            let url = |text| Url::parse(text).unwrap();
            assert_eq!(objection(&url(from), &url(to), &strict).is_none(), fine, "{from} {to}");
            assert_eq!(objection(&url(from), &url(to), &loose), None);
        }
    }
}
