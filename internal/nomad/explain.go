package nomad

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/nomad/api"

	"github.com/dispatchd/dispatchd/internal/tasks"
)

// The weights of findings. From weightCertain on another try by Nomad would
// end the same way.
const (
	weightVague = iota + 1
	weightSetup
	weightCertain
	weightCrash
	weightImage
	weightConfig
	weightOOM
)

// explain says in one sentence what is wrong with the allocation.
func (t *track) explain(spec *api.Job) finding {
	group := findGroup(spec, t.alloc.TaskGroup)
	var best finding
	for _, name := range slices.Sorted(maps.Keys(t.events)) {
		best = heavier(best, t.explainTask(name, findTask(group, name)))
	}
	// A check of an app that has no image yet fails, but explains nothing.
	noImage := best.reason == tasks.ReasonImagePullFailed
	if !noImage && (best.message == "" || best.weight < weightCertain || best.weight == weightCrash && t.isRunning()) {
		if check := t.explainChecks(group); check.message != "" {
			return check
		}
	}
	if best.message != "" && len(t.events) > 1 {
		best.message += t.whichTask(best)
	}
	if best.message == "" && t.alloc.ClientStatus == api.AllocClientStatusLost {
		return finding{reason: tasks.ReasonUnhealthy, weight: weightVague, message: "its node was lost"}
	}
	return best
}

// whichTask names the task where the allocation has several.
func (t *track) whichTask(found finding) string {
	for _, name := range slices.Sorted(maps.Keys(t.events)) {
		if t.explainTask(name, nil).weight == found.weight {
			return fmt.Sprintf(" (task %s)", name)
		}
	}
	return ""
}

func (t *track) isRunning() bool {
	return t.alloc.ClientStatus == api.AllocClientStatusRunning
}

func findTask(group *api.TaskGroup, name string) *api.Task {
	for _, task := range group.Tasks {
		if task.Name == name {
			return task
		}
	}
	return nil
}

// explainTask reads one task's events. What follows a kill by Nomad is no
// symptom of the app's.
func (t *track) explainTask(name string, task *api.Task) finding {
	var best, pulling finding
	killed := false
	for _, event := range t.events[name] {
		switch event.Type {
		case api.TaskKilling, api.TaskRestartSignal:
			killed = true
		case api.TaskStarted:
			killed, pulling = false, finding{}
		case api.TaskDriverMessage:
			pulling = explainPull(event, task)
		}
		if killed && event.Type == api.TaskTerminated && event.Details["oom_killed"] != "true" {
			continue
		}
		best = heavier(best, explainEvent(event, task))
	}
	best = heavier(best, pulling)
	if restarts := t.alloc.TaskStates[name]; restarts != nil && best.weight >= weightCrash && best.weight != weightConfig {
		best.message += countRestarts(restarts.Restarts)
	}
	return best
}

// explainPull reads what Nomad's docker driver says while it has no image yet.
func explainPull(event *api.TaskEvent, task *api.Task) finding {
	text := event.DisplayMessage + event.DriverMessage
	if !strings.Contains(text, "Downloading image") && !strings.Contains(text, "image pull") {
		return finding{}
	}
	return finding{reason: tasks.ReasonImagePullFailed, weight: weightSetup, message: "the image" + imageOf(task) + " was still being pulled"}
}

func countRestarts(n uint64) string {
	switch n {
	case 0:
		return ""
	case 1:
		return " (1 restart)"
	}
	return fmt.Sprintf(" (%d restarts)", n)
}

func explainEvent(event *api.TaskEvent, task *api.Task) finding {
	switch event.Type {
	case api.TaskTerminated:
		return explainExit(event, task)
	case api.TaskDriverFailure:
		return explainDriver(event, task)
	case api.TaskFailedValidation:
		return finding{reason: tasks.ReasonJobRejected, weight: weightConfig, message: "the node refused the task's configuration"}
	case api.TaskSetupFailure:
		return finding{reason: tasks.ReasonUnhealthy, weight: weightSetup, message: "the node could not set the app up"}
	case api.TaskArtifactDownloadFailed:
		return finding{reason: tasks.ReasonUnhealthy, weight: weightSetup, message: "an artifact could not be downloaded"}
	case "Template":
		if strings.HasPrefix(event.DisplayMessage, "Missing") {
			return finding{reason: tasks.ReasonUnhealthy, weight: weightVague, message: "the app waits for secrets or values of its templates that do not exist"}
		}
	case "Alloc Unhealthy":
		return explainUnhealthy(event)
	}
	return finding{}
}

// explainUnhealthy reads Nomad's own words, which name no cause.
func explainUnhealthy(event *api.TaskEvent) finding {
	found := finding{reason: tasks.ReasonUnhealthy, weight: weightVague}
	switch text := event.DisplayMessage; {
	case strings.HasPrefix(text, "Task not running by"):
		found.message = "the app did not start before its healthy deadline"
	case strings.HasPrefix(text, "Services not healthy by"), strings.HasPrefix(text, "Service checks not registered"):
		found.weight, found.message = weightCertain, "its service checks did not pass before the healthy deadline"
	case strings.HasPrefix(text, "Task not running for min_healthy_time"):
		found.message = "the app was not healthy for long enough before its healthy deadline"
	default:
		found.message = "the app did not become healthy"
	}
	return found
}

// explainExit reads how a task ended.
func explainExit(event *api.TaskEvent, task *api.Task) finding {
	code, signal := event.Details["exit_code"], event.Details["signal"]
	message := event.DisplayMessage + event.Message
	if event.Details["oom_killed"] == "true" || strings.Contains(message, "OOM Killed") {
		found := finding{reason: tasks.ReasonAppOOM, weight: weightOOM, message: "the app ran out of memory"}
		if limit := memoryLimit(task); limit > 0 {
			found.message += fmt.Sprintf(": its limit is %d MiB", limit)
		}
		return found
	}
	found := finding{reason: tasks.ReasonCrashed, weight: weightCrash}
	switch {
	case signal != "" && signal != "0":
		found.message = "the app crashed: signal " + signal
	case code == "" || code == "0":
		found.message = "the app ended by itself: exit code 0"
		if task != nil && task.Lifecycle != nil {
			return finding{}
		}
	default:
		found.message = "the app crashed: exit code " + code
	}
	return found
}

func memoryLimit(task *api.Task) int {
	if task == nil || task.Resources == nil {
		return 0
	}
	return max(value(task.Resources.MemoryMB), value(task.Resources.MemoryMaxMB))
}

// explainDriver reads a driver's error: an image that does not come, a command
// that cannot be started, or a driver in trouble.
func explainDriver(event *api.TaskEvent, task *api.Task) finding {
	text := event.DisplayMessage + " " + event.Details["driver_error"]
	lower := strings.ToLower(text)
	if strings.Contains(lower, "failed to pull") || strings.Contains(lower, "failed to find docker auth") {
		return finding{reason: tasks.ReasonImagePullFailed, weight: weightImage, message: "the image" + imageOf(task) + " could not be pulled" + pullCause(lower)}
	}
	starts := []string{"failed to start container", "executable file not found", "no such file or directory", "exec format error", "permission denied", "failed to launch command"}
	if containsAny(lower, starts) {
		return finding{reason: tasks.ReasonCrashed, weight: weightCrash, message: "the app could not be started" + startCause(lower)}
	}
	if strings.Contains(lower, "failed to parse config") {
		return finding{reason: tasks.ReasonJobRejected, weight: weightConfig, message: "the node refused the task's configuration"}
	}
	return finding{reason: tasks.ReasonUnhealthy, weight: weightSetup, message: "the node's driver could not run the app"}
}

func imageOf(task *api.Task) string {
	if task == nil {
		return ""
	}
	if image, ok := task.Config["image"].(string); ok {
		return " " + image
	}
	return ""
}

// phrase maps what a driver's error contains to our own words.
type phrase struct{ part, words string }

func firstPhrase(text string, phrases []phrase) string {
	for _, p := range phrases {
		if strings.Contains(text, p.part) {
			return ": " + p.words
		}
	}
	return ""
}

func pullCause(text string) string {
	return firstPhrase(text, []phrase{
		{"manifest unknown", "it does not exist in its registry"},
		{"not found", "it does not exist in its registry"},
		{"unauthorized", "the registry refused the credentials"},
		{"no basic auth", "the registry wants credentials"},
		{"denied", "the registry refused the credentials"},
		{"toomanyrequests", "the registry limits our requests"},
		{"connection refused", "its registry cannot be reached"},
		{"no such host", "its registry cannot be reached"},
		{"timeout", "its registry does not answer"},
		{"deadline exceeded", "its registry does not answer"},
		{"no space left", "the node's disk is full"},
	})
}

func startCause(text string) string {
	return firstPhrase(text, []phrase{
		{"executable file not found", "its command does not exist in the image"},
		{"no such file or directory", "its command does not exist"},
		{"exec format error", "its command is for another kind of processor"},
		{"permission denied", "its command may not be executed"},
		{"port is already allocated", "its port is taken on the node"},
		{"address already in use", "its port is taken on the node"},
	})
}

// explainChecks names the first failing health check, its port and answer.
func (t *track) explainChecks(group *api.TaskGroup) finding {
	if len(t.checks) == 0 {
		return finding{}
	}
	check := t.checks[0]
	name, port := describeCheck(check, group)
	message := fmt.Sprintf("health check %q", name)
	if port != "" {
		message += " on port " + port
	}
	message += " failed"
	lower := strings.ToLower(check.Output)
	if check.StatusCode != 0 {
		message += fmt.Sprintf(": status %d", check.StatusCode)
	} else {
		message += firstPhrase(lower, []phrase{
			{"connection refused", "connection refused"},
			{"timeout", "no answer in time"},
			{"deadline exceeded", "no answer in time"},
		})
	}
	return finding{reason: tasks.ReasonUnhealthy, weight: weightCertain, message: message}
}

// describeCheck finds the check in the job: a check without a name of its own
// is called after its service.
func describeCheck(status api.AllocCheckStatus, group *api.TaskGroup) (name, port string) {
	services := slices.Clone(group.Services)
	for _, task := range group.Tasks {
		services = append(services, task.Services...)
	}
	name = status.Check
	if strings.HasPrefix(name, "service: ") {
		name = status.Service
	}
	for _, service := range services {
		if service.Name != status.Service {
			continue
		}
		port = service.PortLabel
		for _, check := range service.Checks {
			if check.Name == status.Check && check.PortLabel != "" {
				port = check.PortLabel
			}
		}
	}
	return name, port
}
