//! What a task changes of its task definition, and how large that is as ECS counts it.

use std::fmt;

use longhaul_core::WorkerEnvironment;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most characters that the overrides of a task may have, JSON punctuation included
/// (ECS API, `RunTask`, `overrides`).
pub const MAX_OVERRIDES: usize = 8192;

/// The overrides of a task: the `overrides` of `RunTask`, and of a task that ECS describes.
///
/// Serialised as ECS writes them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskOverrides {
    /// The overrides of single containers.
    pub container_overrides: Vec<ContainerOverride>,
    /// CPU units of the whole task, 1,024 to a vCPU. ECS has it as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Memory of the whole task in MiB. ECS has it as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// The size of the task's scratch disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ephemeral_storage: Option<EphemeralStorage>,
}

/// The scratch disk of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EphemeralStorage {
    /// Its size in GiB, 21 to 200 (ECS API, `EphemeralStorage`).
    #[serde(rename = "sizeInGiB")]
    pub size_in_gib: i32,
}

/// The overrides of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerOverride {
    /// The container's name in the task definition.
    pub name: String,
    /// The program and its arguments; `None` leaves those of the image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// Variables that are added or replaced.
    pub environment: TaskEnvironment,
}

/// The variables of a container override. One of them is the callback token, so `Debug` shows
/// names only.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct TaskEnvironment(Vec<(String, String)>);

impl TaskEnvironment {
    /// The value of one variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(own, value)| (own == name).then_some(value))
    }

    /// The variables in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl From<&WorkerEnvironment> for TaskEnvironment {
    fn from(environment: &WorkerEnvironment) -> Self {
        environment.iter().collect()
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for TaskEnvironment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let pairs = variables.into_iter();
        Self(pairs.map(|(n, v)| (n.into(), v.into())).collect())
    }
}

impl fmt::Debug for TaskEnvironment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

/// One variable as ECS writes it. An event may leave either half out.
#[derive(Serialize, Deserialize)]
#[serde(default)]
struct KeyValuePair<T: Default> {
    name: T,
    value: T,
}

impl<T: Default> Default for KeyValuePair<T> {
    fn default() -> Self {
        Self {
            name: T::default(),
            value: T::default(),
        }
    }
}

impl Serialize for TaskEnvironment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.iter()
                .map(|(name, value)| KeyValuePair { name, value }),
        )
    }
}

impl<'de> Deserialize<'de> for TaskEnvironment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs = Vec::<KeyValuePair<String>>::deserialize(deserializer)?;
        Ok(pairs.into_iter().map(|p| (p.name, p.value)).collect())
    }
}

impl TaskOverrides {
    /// How large the overrides are: the bytes of their JSON.
    ///
    /// ECS speaks of characters and does not say whether it means bytes. Bytes are never fewer,
    /// so nothing that passes here is refused there.
    #[must_use]
    pub fn size(&self) -> usize {
        serde_json::to_vec(self).map_or(usize::MAX, |json| json.len())
    }

    /// The value of a variable in any of the container overrides.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.container_overrides
            .iter()
            .find_map(|container| container.environment.get(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn overrides(variables: &[(&str, &str)]) -> TaskOverrides {
        TaskOverrides {
            container_overrides: vec![ContainerOverride {
                name: "worker".to_owned(),
                command: Some(vec!["run".to_owned()]),
                environment: variables.iter().copied().collect(),
            }],
            cpu: Some("256".to_owned()),
            memory: None,
            ephemeral_storage: Some(EphemeralStorage { size_in_gib: 21 }),
        }
    }

    #[test]
    fn overrides_are_written_as_ecs_writes_them() {
        let expected = json!({
            "containerOverrides": [{
                "name": "worker",
                "command": ["run"],
                "environment": [{"name": "A", "value": "1"}],
            }],
            "cpu": "256",
            "ephemeralStorage": {"sizeInGiB": 21},
        });
        assert_eq!(
            serde_json::to_value(overrides(&[("A", "1")])).unwrap(),
            expected
        );
    }

    #[test]
    fn the_values_of_variables_never_show_in_debug() {
        let text = format!("{:?}", overrides(&[("CALLBACK_ID", "c2VjcmV0")]));
        assert!(text.contains("CALLBACK_ID"), "{text}");
        assert!(!text.contains("c2VjcmV0"), "{text}");
    }

    #[test]
    fn what_an_event_leaves_out_is_empty() {
        let read: TaskOverrides =
            serde_json::from_value(json!({"containerOverrides": [{"name": "a"}], "other": 1}))
                .unwrap();
        assert_eq!(read.container_overrides[0].environment.iter().count(), 0);
        assert_eq!(read.variable("A"), None);
    }

    proptest! {
        #[test]
        fn overrides_read_back_what_they_wrote_and_know_its_size(pairs in proptest::collection::vec((any::<String>(), any::<String>()), 0..5)) {
            let overrides = TaskOverrides {
                container_overrides: vec![ContainerOverride {
                    environment: pairs.into_iter().collect(),
                    ..ContainerOverride::default()
                }],
                ..TaskOverrides::default()
            };
            let json = serde_json::to_string(&overrides).unwrap();
            prop_assert_eq!(overrides.size(), json.len());
            prop_assert_eq!(serde_json::from_str::<TaskOverrides>(&json).unwrap(), overrides);
        }
    }
}
