//! The functions a service knows, found by any of their names.

use std::collections::HashMap;

use crate::config::FunctionConfig;
use crate::error::{ApiError, ApiErrorKind};
use crate::machine::{FunctionName, Resolve, Target};

/// The configured functions.
#[derive(Debug)]
pub(crate) struct Functions {
    region: String,
    account: String,
    by_name: HashMap<String, FunctionConfig>,
}

impl Functions {
    pub(crate) fn new(region: &str, account: &str, functions: &[FunctionConfig]) -> Self {
        Self {
            region: region.to_owned(),
            account: account.to_owned(),
            by_name: functions
                .iter()
                .map(|function| (function.name.clone(), function.clone()))
                .collect(),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &FunctionConfig> {
        self.by_name.values()
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    fn find(&self, name: &FunctionName) -> Option<&FunctionConfig> {
        let here = name
            .region
            .as_ref()
            .is_none_or(|region| *region == self.region)
            && name
                .account
                .as_ref()
                .is_none_or(|account| *account == self.account);
        if here {
            self.by_name.get(&name.name)
        } else {
            None
        }
    }

    fn not_found(&self, name: &FunctionName) -> ApiError {
        let qualifier = name
            .qualifier
            .as_deref()
            .map(|qualifier| format!(":{qualifier}"))
            .unwrap_or_default();
        ApiError::new(
            ApiErrorKind::ResourceNotFound,
            format!(
                "Function not found: arn:aws:lambda:{}:{}:function:{}{qualifier}",
                name.region.as_ref().unwrap_or(&self.region),
                name.account.as_ref().unwrap_or(&self.account),
                name.name
            ),
        )
    }

    /// The function of this name, whatever the qualifier.
    pub(crate) fn named(&self, name: &FunctionName) -> Result<&FunctionConfig, ApiError> {
        self.find(name).ok_or_else(|| self.not_found(name))
    }

    /// The function to invoke. A durable function is only invoked with a qualifier, as on AWS.
    pub(crate) fn invocable(&self, name: &FunctionName) -> Result<Target, ApiError> {
        self.named(name)?;
        if name.qualifier.is_none() {
            return Err(ApiError::invalid(
                "You cannot invoke a durable function using an unqualified ARN. Use a version, an alias or $LATEST.",
            ));
        }
        self.resolve(name).ok_or_else(|| self.not_found(name))
    }
}

impl FunctionConfig {
    /// The version a qualifier means.
    pub(crate) fn qualified(&self, qualifier: &str) -> Option<&str> {
        let known = qualifier == "$LATEST"
            || qualifier == self.version
            || self.aliases.iter().any(|alias| alias == qualifier);
        known.then_some(&self.version)
    }
}

impl Resolve for Functions {
    /// A chained invocation may leave the qualifier out: it then means `$LATEST`.
    fn resolve(&self, name: &FunctionName) -> Option<Target> {
        let function = self.find(name)?;
        let version = function.qualified(name.qualifier.as_deref().unwrap_or("$LATEST"))?;
        Some(Target {
            name: function.name.clone(),
            version: version.to_owned(),
            durable: function.durable,
        })
    }
}
