package tasks

// Stage is a named part of a task. It is the value of the Dispatch-Step
// header, of the metrics' stage label and of the logs' step field.
type Stage string

// The stages of all kinds of task, in the order in which a deployment passes them.
const (
	StageAccept    Stage = "accept"
	StageClone     Stage = "clone"
	StageConfigure Stage = "configure"
	StageSecrets   Stage = "secrets"
	StageResolve   Stage = "resolve"
	StageBuild     Stage = "build"
	StagePush      Stage = "push"
	StageRender    Stage = "render"
	StageRegister  Stage = "register"
	StageWatch     Stage = "watch"
	StageDestroy   Stage = "destroy"
)

// Phase is the legacy name of a part of a deployment, in a build log's line.
type Phase string

// The phases that a backend knows.
const (
	PhaseInit     Phase = "init"
	PhaseClone    Phase = "clone"
	PhaseBuild    Phase = "build"
	PhaseRegistry Phase = "registry"
	PhaseDeploy   Phase = "deploy"
	PhaseRelease  Phase = "release"
)

// stagePhases is the one table from a stage to its log phase.
var stagePhases = []struct {
	stage Stage
	phase Phase
}{
	{StageAccept, PhaseInit},
	{StageClone, PhaseClone},
	{StageConfigure, PhaseInit},
	{StageSecrets, PhaseBuild},
	{StageResolve, PhaseRegistry},
	{StageBuild, PhaseBuild},
	{StagePush, PhaseRegistry},
	{StageRender, PhaseDeploy},
	{StageRegister, PhaseDeploy},
	{StageWatch, PhaseRelease},
	{StageDestroy, PhaseDeploy},
}

// Phase returns the log phase of the stage; a stage without a row is init.
func (s Stage) Phase() Phase {
	for _, row := range stagePhases {
		if row.stage == s {
			return row.phase
		}
	}
	return PhaseInit
}

// Stages lists every stage: the closed set of the metrics' stage label.
func Stages() []Stage {
	stages := make([]Stage, len(stagePhases))
	for i, row := range stagePhases {
		stages[i] = row.stage
	}
	return stages
}
