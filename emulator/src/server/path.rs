//! Raw paths and queries: split first, decode afterwards, because ARNs and callback ids contain `/` and `+`.

use percent_encoding::percent_decode_str;

use crate::error::ApiError;

/// The segments of a raw path, each decoded by itself.
pub(super) fn segments(raw: &str) -> Result<Vec<String>, ApiError> {
    raw.strip_prefix('/')
        .unwrap_or(raw)
        .split('/')
        .map(|segment| decode(segment, "path"))
        .collect()
}

fn decode(text: &str, what: &str) -> Result<String, ApiError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| ApiError::invalid(format!("The {what} is not UTF-8")))
}

/// The parameters of a query string, in order. A parameter without `=` has an empty value.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(raw: Option<&str>) -> Result<Self, ApiError> {
        let pairs = raw
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty());
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A bare plus is a plus: AWS's clients write a space as %20, and tokens have pluses.
            Ok((decode(name, "query")?, decode(value, "query")?))
        };
        pairs.map(pair).collect::<Result<_, _>>().map(Self)
    }

    /// The last value of a parameter; none when it is absent or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// A boolean parameter.
    pub(super) fn flag(&self, name: &'static str, default: bool) -> Result<bool, ApiError> {
        match self.get(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(ApiError::invalid(format!("{name} must be true or false."))),
        }
    }

    /// `MaxItems`; 0 when absent.
    pub(super) fn max_items(&self) -> Result<usize, ApiError> {
        self.get("MaxItems").map_or(Ok(0), |text| {
            text.parse()
                .map_err(|_| ApiError::invalid("MaxItems must be 0 to 1000."))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_slash_stays_inside_its_segment() {
        let segments =
            segments("/2025-12-01/durable-executions/arn%3Aaws%3Alambda%2Fx%24LATEST/stop")
                .unwrap();
        assert_eq!(
            segments,
            [
                "2025-12-01",
                "durable-executions",
                "arn:aws:lambda/x$LATEST",
                "stop"
            ]
        );
        assert_eq!(
            super::segments("/cb/a%2Fb+c%3D%3D/succeed").unwrap()[1],
            "a/b+c=="
        );
        assert!(super::segments("/%ff").is_err());
    }

    #[test]
    fn a_query_gives_single_and_repeated_parameters() {
        let query = Query::parse(Some(
            "Statuses=RUNNING&Statuses=FAILED&MaxItems=5&Marker=&Reverse",
        ))
        .unwrap();
        assert_eq!(
            query.all("Statuses").collect::<Vec<_>>(),
            ["RUNNING", "FAILED"]
        );
        assert_eq!(query.max_items().unwrap(), 5);
        assert_eq!(query.get("Marker"), None);
        assert!(
            Query::parse(Some("MaxItems=-1"))
                .unwrap()
                .max_items()
                .is_err()
        );
        assert!(Query::parse(Some("a=%ff")).is_err());
    }
}
