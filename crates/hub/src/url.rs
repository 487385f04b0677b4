//! `http` and `https` URLs: parsing, joining a redirect's `Location`, merging a query, telling
//! private hosts. What a URL of a certain host means is said in `forms`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use ureq::http::Uri;
use ureq::http::uri::Scheme;

/// An absolute `http` or `https` URL without user name, password or fragment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Url(Uri);

impl Url {
    /// Parses an absolute URL; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
        let scheme = uri.scheme().ok_or("not an absolute URL")?;
        if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
            return Err(format!("`{scheme}:` is neither http nor https"));
        }
        let authority = uri.authority().ok_or("no host")?;
        if authority.as_str().contains('@') {
            return Err("user name and password do not belong in a URL".into());
        }
        if authority.host().is_empty() {
            return Err("no host".into());
        }
        Ok(Url(uri))
    }

    pub(crate) fn uri(&self) -> &Uri {
        &self.0
    }

    /// The host in lower case, without brackets around an IPv6 address.
    pub(crate) fn host(&self) -> String {
        let host = self.0.host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase()
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path()
    }

    /// The parts of the path between slashes, without empty ones at its ends.
    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path().trim_matches('/').split('/').collect()
    }

    pub(crate) fn is_https(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }

    /// Whether host and port are those of `other`: credentials may go there too.
    pub(crate) fn same_origin(&self, other: &Url) -> bool {
        self.0.scheme() == other.0.scheme() && self.0.authority() == other.0.authority()
    }

    /// Whether the host is this machine or one of a private network, as far as its name tells.
    pub(crate) fn is_private(&self) -> bool {
        let host = self.host();
        if host == "localhost" || host.ends_with(".localhost") {
            return true;
        }
        host.parse().is_ok_and(|address| match address {
            IpAddr::V4(v4) => is_private_v4(v4),
            IpAddr::V6(v6) => is_private_v6(v6),
        })
    }

    /// The URL with `key=value` in its query; other parts of the query stay as they are.
    pub(crate) fn with_query(&self, key: &str, value: &str) -> Url {
        let old = self.0.query().unwrap_or_default();
        let others = old.split('&').filter(|pair| {
            !pair.is_empty() && pair.split('=').next().is_some_and(|name| name != key)
        });
        let query: Vec<String> =
            others.map(str::to_owned).chain([format!("{key}={value}")]).collect();
        let text = format!("{}{}?{}", self.origin(), self.path(), query.join("&"));
        Url::parse(&text).unwrap_or_else(|_| self.clone())
    }

    /// Where a redirect from here to `location` leads.
    pub(crate) fn join(&self, location: &str) -> Result<Url, String> {
        let location = location.trim().split('#').next().unwrap_or_default();
        if has_scheme(location) {
            return Url::parse(location);
        }
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.is_https() { "https" } else { "http" };
            return Url::parse(&format!("{scheme}://{rest}"));
        }
        let (path, query) = match location.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (location, String::new()),
        };
        let folder = self.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        let path = match path {
            "" => self.path().to_owned(),
            absolute if absolute.starts_with('/') => without_dots(absolute),
            relative => without_dots(&format!("{folder}/{relative}")),
        };
        Url::parse(&format!("{}{path}{query}", self.origin()))
    }

    fn origin(&self) -> String {
        let scheme = if self.is_https() { "https" } else { "http" };
        format!("{scheme}://{}", self.0.authority().map_or("", |authority| authority.as_str()))
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether the text starts with `name:` as RFC 3986 defines a scheme.
pub(crate) fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
}

/// The path without `.` and `..` parts (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/').skip(1) {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn is_private_v4(address: std::net::Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_unspecified()
        || shared
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_private_v4(v4);
    }
    address.is_loopback()
        || address.is_unspecified()
        || address.is_unique_local()
        || address.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn what_is_no_web_url_is_refused() {
        for text in
            ["", "x", "/a", "file:///a", "http://", "ftp://a/b", "http://u:p@a/", "http://a b/"]
        {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_query_is_merged_not_appended() {
        let merged = |text| url(text).with_query("tf-hub-format", "compressed").to_string();
        assert_eq!(merged("https://h/m/1"), "https://h/m/1?tf-hub-format=compressed");
        assert_eq!(merged("https://h/m/1?a=b&c"), "https://h/m/1?a=b&c&tf-hub-format=compressed");
        assert_eq!(
            merged("https://h/m/1?tf-hub-format=uncompressed&a=b"),
            "https://h/m/1?a=b&tf-hub-format=compressed"
        );
    }

    #[test]
    fn redirects_join_as_in_rfc_3986() {
        let base = url("https://h:8/a/b/c?q=1");
        for (location, expected) in [
            ("d", "https://h:8/a/b/d"),
            ("./d?x=1#f", "https://h:8/a/b/d?x=1"),
            ("../d", "https://h:8/a/d"),
            ("../../../../d", "https://h:8/d"),
            ("/d/e", "https://h:8/d/e"),
            ("//g/x", "https://g/x"),
            ("http://g/x", "http://g/x"),
            ("?y", "https://h:8/a/b/c?y"),
        ] {
            assert_eq!(base.join(location).unwrap().to_string(), expected, "{location}");
        }
        assert!(base.join("file:///etc/passwd").is_err());
        assert!(base.join("javascript:1").is_err());
    }

    #[test]
    fn private_hosts_are_told_by_name() {
        for text in [
            "http://localhost/",
            "http://127.1.2.3/",
            "http://10.0.0.1/",
            "http://[::1]:80/",
            "http://169.254.169.254/",
            "http://192.168.0.1/",
            "http://[::ffff:10.0.0.1]/",
            "http://[fd00::1]/",
            "http://0.0.0.0/",
            "http://100.64.0.1/",
        ] {
            assert!(url(text).is_private(), "{text}");
        }
        for text in ["http://example.com/", "http://8.8.8.8/", "http://[2001:db8::1]/"] {
            assert!(!url(text).is_private(), "{text}");
        }
    }
}
