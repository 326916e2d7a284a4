//! What the URL of a store names.

use std::path::PathBuf;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

/// A place that payloads are kept in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// `s3://bucket/prefix`; the prefix is empty or a path without `/` at its ends.
    Bucket { bucket: String, prefix: String },
    /// `file:///folder`; absolute.
    Folder(PathBuf),
    /// `memory:`.
    Memory,
}

/// What stands for itself in the path of a URL (RFC 3986, "unreserved").
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

impl Location {
    /// Reads `text`, or says in half a sentence what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| {
            format!("it is no URL ({error}): use s3://bucket/prefix or file:///folder")
        })?;
        let bare = url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none()
            && url.port().is_none();
        if !bare {
            return Err("it must have no user, port, query or fragment".to_owned());
        }
        match url.scheme() {
            "s3" => bucket(&url),
            "file" => folder(&url),
            "memory" if matches!(url.as_str(), "memory:" | "memory://" | "memory:///") => {
                Ok(Self::Memory)
            }
            "memory" => Err("memory has no names: use `memory:`".to_owned()),
            other => Err(format!(
                "there is no store of the kind `{other}:`: use s3://bucket/prefix, file:///folder or memory:"
            )),
        }
    }

    /// What the URIs of the store begin with: one text for one place, without `/` at the end.
    pub(crate) fn base(&self) -> String {
        match self {
            Self::Memory => "memory:".to_owned(),
            Self::Bucket { bucket, prefix } if prefix.is_empty() => format!("s3://{bucket}"),
            Self::Bucket { bucket, prefix } => format!("s3://{bucket}/{prefix}"),
            Self::Folder(path) => {
                let text = path.to_string_lossy();
                let segments = text.split('/').filter(|segment| !segment.is_empty());
                segments.fold("file://".to_owned(), |mut base, segment| {
                    base.push('/');
                    base.extend(utf8_percent_encode(segment, UNRESERVED));
                    base
                })
            }
        }
    }
}

fn bucket(url: &Url) -> Result<Location, String> {
    let bucket = url.host_str().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'.');
    if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(plain) {
        return Err(format!(
            "{bucket:?} is not the name of a bucket: 3 to 63 lower-case letters, digits, `-` or `.`"
        ));
    }
    let prefix = url.path().trim_start_matches('/').trim_end_matches('/');
    // What object keys take as it is, in URLs and signatures too (Amazon S3 User Guide, "Safe
    // characters"): so that the prefix reads the same everywhere.
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'=');
    let segment = |text: &str| !text.is_empty() && text.bytes().all(plain);
    if !prefix.is_empty() && !prefix.split('/').all(segment) {
        return Err(format!(
            "the prefix {prefix:?} must be letters, digits, `-`, `_`, `.` or `=`, separated by single `/`"
        ));
    }
    Ok(Location::Bucket {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    })
}

fn folder(url: &Url) -> Result<Location, String> {
    let path = url
        .to_file_path()
        .map_err(|()| "a folder is named by its absolute path: file:///folder".to_owned())?;
    if path.to_str().is_none() {
        return Err("the folder's name must be UTF-8".to_owned());
    }
    // `file:///a/` and `file:///a` are one folder.
    Ok(Location::Folder(path.components().collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_names_a_bucket_a_folder_or_memory() {
        let bucket = |bucket: &str, prefix: &str| Location::Bucket {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        for (url, location, base) in [
            ("s3://my-bucket", bucket("my-bucket", ""), "s3://my-bucket"),
            ("s3://my.bucket/", bucket("my.bucket", ""), "s3://my.bucket"),
            (
                "s3://b-1/a/year=2026/",
                bucket("b-1", "a/year=2026"),
                "s3://b-1/a/year=2026",
            ),
            (
                "file:///var/lib",
                Location::Folder("/var/lib".into()),
                "file:///var/lib",
            ),
            (
                "file:///var/lib//",
                Location::Folder("/var/lib".into()),
                "file:///var/lib",
            ),
            (
                "file://localhost/x",
                Location::Folder("/x".into()),
                "file:///x",
            ),
            (
                "file:///a%20b/ü|",
                Location::Folder("/a b/ü|".into()),
                "file:///a%20b/%C3%BC%7C",
            ),
            ("file:///x/../y", Location::Folder("/y".into()), "file:///y"),
            ("file:///", Location::Folder("/".into()), "file://"),
            ("memory:", Location::Memory, "memory:"),
            ("memory://", Location::Memory, "memory:"),
        ] {
            let parsed = Location::parse(url).unwrap();
            assert_eq!(parsed, location, "{url}");
            assert_eq!(parsed.base(), base, "{url}");
        }
    }

    #[test]
    fn another_url_is_refused_with_the_reason() {
        for (url, part) in [
            ("", "no URL"),
            ("/tmp/x", "no URL"),
            ("bucket/prefix", "no URL"),
            ("https://bucket/prefix", "no store of the kind `https:`"),
            ("gs://bucket", "no store of the kind `gs:`"),
            ("s3://", "not the name of a bucket"),
            ("s3:bucket", "not the name of a bucket"),
            ("s3:///prefix", "not the name of a bucket"),
            ("s3://ab", "not the name of a bucket"),
            ("s3://My_Bucket", "not the name of a bucket"),
            ("s3://bucket:80/x", "no user, port"),
            ("s3://key:secret@bucket/x", "no user, port"),
            ("s3://bucket/x?y", "query"),
            ("s3://bucket/x#y", "fragment"),
            ("s3://bucket/a b", "the prefix"),
            ("s3://bucket/%2e%2e%2fx", "the prefix"),
            ("s3://bucket/a//b", "the prefix"),
            ("s3://bucket/ü", "the prefix"),
            ("file://host/x", "absolute path"),
            ("file:///%ff", "UTF-8"),
            ("memory:shared", "memory has no names"),
        ] {
            let problem = Location::parse(url).unwrap_err();
            assert!(problem.contains(part), "{url}: {problem}");
            assert!(!problem.contains("secret"), "{url}: {problem}");
        }
    }

    proptest! {
        #[test]
        fn the_base_of_a_folder_names_the_same_folder(segments in proptest::collection::vec("[^/\0]{1,12}", 0..5)) {
            prop_assume!(segments.iter().all(|segment| segment != "." && segment != ".."));
            let folder = Location::Folder(PathBuf::from(format!("/{}", segments.join("/"))));
            let base = folder.base();
            let url = if base == "file://" { "file:///" } else { &base };
            prop_assert_eq!(Location::parse(url), Ok(folder));
            prop_assert_eq!(Location::parse(url).map(|again| again.base()), Ok(base));
        }
    }
}
