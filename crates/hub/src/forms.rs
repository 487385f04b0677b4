//! What a URL of a certain kind means: which file to download for it.
//!
//! One function per form, each a line in the resolvers' table; it answers with the [`Source`] or
//! with the reason why the URL is none of its business.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::options::HubOptions;
use crate::url::Url;

/// A download that should give the module's archive, or a file that is a model by itself.
pub(crate) struct Source {
    pub(crate) url: Url,
    /// The value of an `Authorization` header for the host of `url` alone.
    pub(crate) authorization: Option<String>,
}

impl From<Url> for Source {
    fn from(url: Url) -> Self {
        Source { url, authorization: None }
    }
}

pub(crate) type Form = fn(&Url, &HubOptions) -> Result<Source, &'static str>;

/// Endings of the URLs of files, which no hub is asked for. What a file is its content tells.
const FILES: [&str; 15] = [
    ".tar.gz",
    ".tgz",
    ".tar",
    ".onnx",
    ".tflite",
    ".h5",
    ".hdf5",
    ".keras",
    ".pb",
    ".npz",
    ".safetensors",
    ".ckpt",
    ".index",
    ".json",
    ".zip",
];

fn ending(url: &Url) -> Option<&'static str> {
    let path = url.path().to_ascii_lowercase();
    FILES.into_iter().find(|end| path.ends_with(end))
}

/// What a model file from `url` is called in the cache: `model.onnx`, or `model` where the URL does
/// not end as files do.
pub(crate) fn file_name(url: &Url) -> String {
    format!("model{}", ending(url).unwrap_or_default())
}

/// `https://…/1.tar.gz`, `https://…/model.onnx`: the file itself.
pub(crate) fn file(url: &Url, _: &HubOptions) -> Result<Source, &'static str> {
    match ending(url) {
        Some(_) => Ok(url.clone().into()),
        None => Err("ends in nothing that archives or model files end in"),
    }
}

/// Any other URL: a hub that answers `?tf-hub-format=compressed` with the archive.
pub(crate) fn hub(url: &Url, _: &HubOptions) -> Result<Source, &'static str> {
    if ending(url).is_some() {
        return Err("the URL of a file, not of a hub");
    }
    if kaggle_model(url).is_some() {
        return Err("a Kaggle page, which has an API instead");
    }
    Ok(url.with_query("tf-hub-format", "compressed").into())
}

/// `https://tfhub.dev/PUBLISHER/MODEL/VERSION`: the file in the storage tfhub.dev was made from.
pub(crate) fn storage(url: &Url, options: &HubOptions) -> Result<Source, &'static str> {
    if !["tfhub.dev", "www.tfhub.dev"].contains(&url.host().as_str()) {
        return Err("not on tfhub.dev");
    }
    let segments = url.segments();
    if segments.len() < 3 || !segments.last().is_some_and(|last| is_number(last)) {
        return Err("no version at the end, which the storage needs");
    }
    let text = format!("{}/{}.tar.gz", options.endpoints.tfhub_storage, segments.join("/"));
    Url::parse(&text).map(Source::from).map_err(|_| "the address of the storage is no URL")
}

/// A page or download address of a Kaggle model: Kaggle's API.
pub(crate) fn kaggle(url: &Url, options: &HubOptions) -> Result<Source, &'static str> {
    let Some(model) = kaggle_model(url) else { return Err("not a model on Kaggle") };
    let Some([owner, model, framework, variation, version]) = model else {
        return Err("needs owner, model, framework, variation and version");
    };
    let text = format!(
        "{}/api/v1/models/{owner}/{model}/{framework}/{variation}/{version}/download",
        options.endpoints.kaggle
    );
    let url = Url::parse(&text).map_err(|_| "the address of Kaggle is no URL")?;
    let authorization = options
        .kaggle_credentials
        .as_ref()
        .map(|(user, key)| format!("Basic {}", STANDARD.encode(format!("{user}:{key}"))));
    Ok(Source { url, authorization })
}

/// Owner, model, framework, variation and version of a Kaggle URL; `Some(None)` for one that is
/// about models but does not name all five.
fn kaggle_model(url: &Url) -> Option<Option<[&str; 5]>> {
    if !["www.kaggle.com", "kaggle.com"].contains(&url.host().as_str()) {
        return None;
    }
    let segments = url.segments();
    let segments = segments.strip_prefix(["api", "v1"].as_slice()).unwrap_or(&segments);
    let named = match *segments {
        [
            "models",
            owner,
            model,
            "frameworks",
            framework,
            "variations",
            variation,
            "versions",
            n,
        ]
        | ["models", owner, model, framework, variation, n]
        | ["models", owner, model, framework, variation, n, "download"] => {
            [owner, model, framework, variation, n]
        }
        ["models", ..] => return Some(None),
        _ => return None,
    };
    Some(is_number(named[4]).then_some(named))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(form: Form, url: &str) -> Result<String, &'static str> {
        let source = form(&Url::parse(url).unwrap(), &HubOptions::default())?;
        Ok(source.url.to_string())
    }

    #[test]
    fn hub_urls_get_the_query_and_files_do_not() {
        let archived = "https://storage.googleapis.com/tfhub-modules/google/m/1.tar.gz?a=b";
        for url in [archived, "https://h/m.onnx?signature=a", "https://h/M.TFLITE"] {
            assert_eq!(form(file, url).unwrap(), url);
            assert!(form(hub, url).is_err());
        }
        assert!(form(file, "https://h/m/1").is_err());
        assert!(form(file, "https://h/mobilenet_v1_1.0_224").is_err());
        let name = |url| file_name(&Url::parse(url).unwrap());
        assert_eq!(name("https://h/..%2f..%2fx.onnx?a=/b.h5"), "model.onnx");
        assert_eq!(name("https://h/con"), "model");
        assert_eq!(
            form(hub, "https://h/m/1?a=b").unwrap(),
            "https://h/m/1?a=b&tf-hub-format=compressed"
        );
    }

    #[test]
    fn tfhub_dev_has_a_storage_form() {
        let storage = |url| form(super::storage, url);
        assert_eq!(
            storage("https://tfhub.dev/google/imagenet/mobilenet_v1_025_192/classification/1")
                .unwrap(),
            "https://storage.googleapis.com/tfhub-modules/google/imagenet/mobilenet_v1_025_192/\
             classification/1.tar.gz"
        );
        assert!(storage("https://tfhub.dev/google/imagenet/mobilenet").is_err());
        assert!(storage("https://example.com/google/imagenet/1").is_err());
    }

    #[test]
    fn kaggle_pages_become_api_calls() {
        let api = "https://www.kaggle.com/api/v1/models/google/mobilenet-v1/tensorFlow1/\
                   025-192-classification/2/download";
        for page in [
            "https://www.kaggle.com/models/google/mobilenet-v1/tensorFlow1/025-192-classification/2",
            "https://kaggle.com/models/google/mobilenet-v1/frameworks/tensorFlow1/variations/\
             025-192-classification/versions/2?tfhub-redirect=true",
            api,
        ] {
            assert_eq!(form(kaggle, page).unwrap(), api, "{page}");
            assert!(form(hub, page).is_err(), "{page}");
        }
        assert!(form(kaggle, "https://www.kaggle.com/models/google/mobilenet-v1").is_err());
        assert!(form(kaggle, "https://www.kaggle.com/models/a/b/c/d/latest").is_err());
        assert!(form(kaggle, "https://example.com/models/a/b/c/d/1").is_err());
    }

    #[test]
    fn credentials_are_basic_and_for_kaggle_alone() {
        let options = HubOptions {
            kaggle_credentials: Some(("user".into(), "key".into())),
            ..Default::default()
        };
        let page = Url::parse("https://www.kaggle.com/models/a/b/c/d/1").unwrap();
        let source = kaggle(&page, &options).unwrap();
        assert_eq!(source.authorization.as_deref(), Some("Basic dXNlcjprZXk="));
        let other = hub(&Url::parse("https://h/m/1").unwrap(), &options).unwrap();
        assert!(other.authorization.is_none());
    }
}
