//! What ECS does with a request, as far as its API's documentation says.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Value, json};

use super::{ACCOUNT, AcceptedTask, CLUSTER, DEFINITIONS, Misbehaviour, REGION, Request};

/// An error of the API, with HTTP status 400.
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) resource_ids: Vec<String>,
}

/// A first answer, to be repeated for its client token.
#[derive(Debug)]
struct Remembered {
    request: Value,
    answer: Value,
    tasks: Vec<String>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) tasks: Vec<AcceptedTask>,
    pub(super) requests: Vec<Request>,
    pub(super) forgotten: Vec<String>,
    pub(super) tasks_live: bool,
    pub(super) spot_is_out: bool,
    /// 0 means as many as are asked for.
    pub(super) page_size: usize,
    plans: BTreeMap<String, VecDeque<Option<Misbehaviour>>>,
    standing_plans: BTreeMap<String, Misbehaviour>,
    remembered: BTreeMap<String, Remembered>,
}

fn refuse<T>(code: &'static str, message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal {
        code,
        message: message.into(),
        resource_ids: Vec::new(),
    })
}

fn invalid<T>(message: impl Into<String>) -> Result<T, Refusal> {
    refuse("InvalidParameterException", message)
}

impl State {
    pub(super) fn plan(&mut self, operation: &str, plan: Option<Misbehaviour>) {
        let plans = self.plans.entry(operation.to_owned()).or_default();
        plans.push_back(plan);
    }

    pub(super) fn plan_always(&mut self, operation: &str, plan: Misbehaviour) {
        self.standing_plans.insert(operation.to_owned(), plan);
    }

    pub(super) fn forget_plans(&mut self) {
        self.plans.clear();
        self.standing_plans.clear();
    }

    pub(super) fn next_plan(&mut self, operation: &str) -> Option<Misbehaviour> {
        let planned = self.plans.get_mut(operation).and_then(VecDeque::pop_front);
        planned.unwrap_or_else(|| self.standing_plans.get(operation).cloned())
    }

    pub(super) fn act(&mut self, operation: &str, request: &Value) -> Result<Value, Refusal> {
        match operation {
            "RunTask" => self.run_task(request),
            "StopTask" => self.stop_task(request),
            "DescribeTasks" => self.describe_tasks(request),
            "ListTasks" => self.list_tasks(request),
            "DescribeTaskDefinition" => describe_task_definition(request),
            _ => refuse("UnknownOperationException", operation),
        }
    }

    fn run_task(&mut self, request: &Value) -> Result<Value, Refusal> {
        let token = check_run_task(request)?;
        if let Some(first) = self.remembered.get(&token) {
            if first.request == *request {
                return Ok(first.answer.clone());
            }
            return Err(Refusal {
                code: "ConflictException",
                message: "The client token is already in use with other parameters.".to_owned(),
                resource_ids: first.tasks.clone(),
            });
        }
        let provider = &request["capacityProviderStrategy"][0]["capacityProvider"];
        if self.spot_is_out && provider == "FARGATE_SPOT" {
            return self.fail(request, "Capacity is unavailable at this time.");
        }
        let number = self.tasks.len() + 1;
        let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task/{CLUSTER}/{number:032x}");
        let containers = containers_of(&text(&request["taskDefinition"])).unwrap_or_default();
        let task = json!({
            "taskArn": arn,
            "clusterArn": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"),
            "taskDefinitionArn": format!("arn:aws:ecs:{REGION}:{ACCOUNT}:task-definition/{}", text(&request["taskDefinition"])),
            "lastStatus": "PROVISIONING",
            "desiredStatus": "RUNNING",
            "startedBy": request["startedBy"],
            "overrides": request["overrides"],
            "createdAt": 1_793_000_000.25,
            "containers": containers.iter().map(|name| json!({"name": name, "lastStatus": "PENDING"})).collect::<Vec<_>>(),
        });
        self.tasks.push(AcceptedTask {
            arn: arn.clone(),
            client_token: token.clone(),
            request: request.clone(),
            task: task.clone(),
        });
        let answer = json!({"tasks": [task], "failures": []});
        self.remember(token, request, &answer, vec![arn.clone()]);
        if self.tasks_live {
            self.live(&arn, request);
        }
        Ok(answer)
    }

    /// Lets a task run, and end if that is its command.
    fn live(&mut self, arn: &str, request: &Value) {
        self.change(arn, &running());
        let container = &request["overrides"]["containerOverrides"][0];
        if let Some([exit, code]) = container["command"].as_array().map(Vec::as_slice)
            && exit == "exit"
        {
            self.end(arn, &text(&container["name"]), text(code).parse().ok());
        }
    }

    /// The answer to a `RunTask` that starts nothing, repeated for its client token.
    pub(super) fn fail(&mut self, request: &Value, reason: &str) -> Result<Value, Refusal> {
        let token = check_run_task(request)?;
        if self.remembered.contains_key(&token) {
            // The first answer stands.
            return self.run_task(request);
        }
        let answer = json!({"tasks": [], "failures": [{"reason": reason}]});
        self.remember(token, request, &answer, Vec::new());
        Ok(answer)
    }

    fn remember(&mut self, token: String, request: &Value, answer: &Value, tasks: Vec<String>) {
        let first = Remembered {
            request: request.clone(),
            answer: answer.clone(),
            tasks,
        };
        self.remembered.insert(token, first);
    }

    fn known(&mut self, arn: &str) -> Option<&mut AcceptedTask> {
        if self.forgotten.iter().any(|gone| gone == arn) {
            return None;
        }
        self.tasks.iter_mut().find(|task| task.arn == arn)
    }

    fn stop_task(&mut self, request: &Value) -> Result<Value, Refusal> {
        check_cluster(request)?;
        let Some(task) = self.known(&text(&request["task"])) else {
            return invalid("The referenced task was not found.");
        };
        let asked_before = task.task["desiredStatus"] == "STOPPED";
        if !asked_before {
            task.task["desiredStatus"] = json!("STOPPED");
            task.task["stopCode"] = json!("UserInitiated");
            task.task["stoppedReason"] = request["reason"].clone();
        }
        let (arn, answer) = (task.arn.clone(), json!({"task": task.task}));
        let container = text(&task.request["overrides"]["containerOverrides"][0]["name"]);
        if self.tasks_live && !asked_before {
            self.end(&arn, &container, Some(143));
        }
        Ok(answer)
    }

    fn describe_tasks(&mut self, request: &Value) -> Result<Value, Refusal> {
        check_cluster(request)?;
        let (mut tasks, mut failures) = (Vec::new(), Vec::new());
        for arn in request["tasks"].as_array().into_iter().flatten() {
            match self.known(&text(arn)) {
                Some(task) => tasks.push(task.task.clone()),
                None => failures.push(json!({"arn": arn, "reason": "MISSING"})),
            }
        }
        Ok(json!({"tasks": tasks, "failures": failures}))
    }

    fn list_tasks(&mut self, request: &Value) -> Result<Value, Refusal> {
        check_cluster(request)?;
        let wanted = match &request["desiredStatus"] {
            Value::Null => "RUNNING".to_owned(),
            status => text(status),
        };
        let asked_for = request["maxResults"].as_u64().unwrap_or(100);
        if !(1..=100).contains(&asked_for) {
            return invalid("maxResults must be from 1 to 100");
        }
        let page = match self.page_size {
            0 => usize::try_from(asked_for).unwrap(),
            size => size,
        };
        let from: usize = match &request["nextToken"] {
            Value::Null => 0,
            token => match text(token).parse() {
                Ok(from) => from,
                Err(_) => return invalid("Invalid token."),
            },
        };
        let tasks = self.tasks.iter().filter(|task| {
            task.task["startedBy"] == request["startedBy"]
                && task.task["desiredStatus"] == wanted.as_str()
                && !self.forgotten.contains(&task.arn)
        });
        let arns: Vec<&str> = tasks.map(|task| task.arn.as_str()).collect();
        let mut answer = json!({"taskArns": arns.iter().skip(from).take(page).collect::<Vec<_>>()});
        if from + page < arns.len() {
            answer["nextToken"] = json!((from + page).to_string());
        }
        Ok(answer)
    }

    pub(super) fn change(&mut self, arn: &str, change: &Value) {
        let task = self.known(arn).expect("the task is known");
        for (name, value) in change.as_object().expect("members") {
            task.task[name] = value.clone();
        }
    }

    pub(super) fn end(&mut self, arn: &str, name: &str, exit_code: Option<i32>) {
        let task = &mut self.known(arn).expect("the task is known").task;
        if task["desiredStatus"] != "STOPPED" {
            task["desiredStatus"] = json!("STOPPED");
            task["stopCode"] = json!("EssentialContainerExited");
            task["stoppedReason"] = json!("Essential container in task exited");
        }
        task["lastStatus"] = json!("STOPPED");
        task["stoppedAt"] = json!(1_793_000_060.5);
        for container in task["containers"].as_array_mut().into_iter().flatten() {
            container["lastStatus"] = json!("STOPPED");
            if let Some(code) = exit_code
                && container["name"] == name
            {
                container["exitCode"] = json!(code);
            }
        }
    }
}

/// What a task that runs has.
pub(super) fn running() -> Value {
    json!({"lastStatus": "RUNNING", "startedAt": 1_793_000_000.5})
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn containers_of(definition: &str) -> Option<&'static [&'static str]> {
    let found = DEFINITIONS.iter().find(|(name, _)| *name == definition);
    found.map(|(_, containers)| *containers)
}

fn check_cluster(request: &Value) -> Result<(), Refusal> {
    let arn = format!("arn:aws:ecs:{REGION}:{ACCOUNT}:cluster/{CLUSTER}");
    if request["cluster"] == CLUSTER || request["cluster"] == arn.as_str() {
        Ok(())
    } else {
        refuse("ClusterNotFoundException", "Cluster not found.")
    }
}

/// Refuses what ECS refuses, and gives the client token.
fn check_run_task(request: &Value) -> Result<String, Refusal> {
    check_cluster(request)?;
    let token = text(&request["clientToken"]);
    if token.is_empty() || token.len() > 64 {
        return invalid("The client token must have 1 to 64 characters.");
    }
    let Some(containers) = containers_of(&text(&request["taskDefinition"])) else {
        return refuse("ClientException", "TaskDefinition not found.");
    };
    for container in request["overrides"]["containerOverrides"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let name = text(&container["name"]);
        if !containers.contains(&name.as_str()) {
            return invalid(format!(
                "Override for container named {name} is not a container in the TaskDefinition."
            ));
        }
    }
    if request["overrides"].to_string().len() > 8192 {
        return invalid("Container Overrides length must be at most 8192");
    }
    if request["launchType"].is_null() == request["capacityProviderStrategy"].is_null() {
        return invalid("Specify either Launch Type or Capacity Provider Strategy, but not both.");
    }
    let vpc = &request["networkConfiguration"]["awsvpcConfiguration"];
    let count = |list: &Value| list.as_array().map_or(0, Vec::len);
    if !(1..=16).contains(&count(&vpc["subnets"])) || count(&vpc["securityGroups"]) > 5 {
        return invalid("Subnets and security groups are out of bounds.");
    }
    if count(&request["tags"]) > 50 || text(&request["startedBy"]).len() > 128 {
        return invalid("Tags or startedBy are out of bounds.");
    }
    if request["count"] != 1 {
        return invalid("This server starts one task at a time.");
    }
    Ok(token)
}

fn describe_task_definition(request: &Value) -> Result<Value, Refusal> {
    let name = text(&request["taskDefinition"]);
    let Some(containers) = containers_of(&name) else {
        return refuse("ClientException", "Unable to describe task definition.");
    };
    let containers: Vec<_> = containers.iter().map(|c| json!({"name": c})).collect();
    Ok(json!({"taskDefinition": {"containerDefinitions": containers}}))
}
