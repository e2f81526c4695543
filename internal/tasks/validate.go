package tasks

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
)

// checkDeploy reports what the types cannot say about a deployment. A field
// that has a problem already gets no second one.
func (d *decoder) checkDeploy(t *Deploy) {
	d.check("params.jobId", t.JobID, jobIDProblem)
	d.checkOptionalToken("params.deploymentId", t.DeploymentID)
	d.checkImage(t)
	d.checkURL("params.nomadAddress", t.NomadAddress)
	d.checkURL("params.backendUrl", t.BackendURL)
	d.checkURL("params.vaultAddress", t.VaultAddress)
	d.check("params.registry.registrySource", t.PackRegistry.RegistrySource, passwordProblem)
	d.check("params.build.registryUrl", t.Build.RegistryURL, userProblem)
	d.check("params.build.registryNamespace", t.Build.RegistryNamespace, userProblem)
	for i, volume := range t.CSIVolume {
		d.checkVolume(fmt.Sprintf("params.csiVolume[%d]", i), volume)
	}
	for i, file := range t.ConfigFiles {
		d.checkConfigFile(fmt.Sprintf("params.configFiles[%d]", i), file)
	}
	if d.kind.FromRepository() {
		d.checkSource(t)
	}
}

// checkImage judges the image's name and tag. A repository's image is called
// like its job where the task names none; then a bad jobId is problem enough.
func (d *decoder) checkImage(t *Deploy) {
	byDefault := d.kind.FromRepository() && t.ImageName == t.JobID
	switch {
	case !byDefault:
		d.check("params.imageName", t.ImageName, imageNameProblem)
	case !d.has("params.jobId"):
		d.check("params.imageName", t.ImageName, defaultNameProblem)
	}
	d.check("params.imageTag", t.ImageTag, imageTagProblem)
}

// defaultNameProblem says where a name comes from that the task did not give.
func defaultNameProblem(name string) (string, bool) {
	problem, show := imageNameProblem(name)
	if problem != "" {
		problem += " (the default is the jobId)"
	}
	return problem, show
}

// checkSource judges where a repository task's source comes from.
func (d *decoder) checkSource(t *Deploy) {
	if t.SourceType == sourceUpload {
		d.require("params.sourceUrl", t.SourceURL)
	} else {
		d.require("params.repository", t.Repository)
		d.require("params.branch", t.Branch)
	}
	d.check("params.repository", t.Repository, repositoryProblem(t.Provider))
	d.check("params.branch", t.Branch, branchProblem)
	d.check("params.build.rootDirectory", t.Build.RootDirectory, pathProblem)
	d.check("params.build.dockerfilePath", t.Build.DockerfilePath, pathProblem)
}

// checkDestroy judges the jobs of a destroy. A queued one names exactly one, so
// that the queue can hand out one task for each job at a time.
func (d *decoder) checkDestroy(t *Destroy, queued bool) {
	if queued && len(t.Jobs) > 1 {
		d.report("params.jobs", "a queued destroy names exactly one job, got %s", number(len(t.Jobs)))
	}
	for i, job := range t.Jobs {
		path := fmt.Sprintf("params.jobs[%d]", i)
		d.check(path+".jobId", job.JobID, jobIDProblem)
		d.checkURL(path+".nomadAddress", job.NomadAddress)
	}
}

func (d *decoder) checkVolume(path string, volume CSIVolume) {
	for i, mount := range volume.MountPaths {
		d.check(fmt.Sprintf("%s.mountPaths[%d]", path, i), mount, mountProblem)
	}
}

// checkConfigFile judges a file's path and that its content is base64; the
// content itself is never shown.
func (d *decoder) checkConfigFile(path string, file ConfigFile) {
	d.require(path+".path", file.Path)
	d.check(path+".path", file.Path, mountProblem)
	if _, err := base64.StdEncoding.DecodeString(file.Content); err != nil {
		d.report(path+".content", "expected base64 with padding")
	}
}

// checkURL accepts an http or https address. It is never shown: what is wrong
// with it may be the password inside.
func (d *decoder) checkURL(path, text string) {
	if problem := urlProblem(text); text != "" && problem != "" {
		d.report(path, problem)
	}
}

func urlProblem(text string) string {
	address, err := url.Parse(text)
	switch {
	case err != nil || address.Scheme != "http" && address.Scheme != "https" || address.Hostname() == "":
		return "expected an http or https address with a host"
	case address.User != nil:
		return "must not hold a user or password"
	}
	return ""
}

// userProblem refuses a user before a registry's host. Where the text is no
// URL, url.Parse would not find it.
func userProblem(text string) (string, bool) {
	if strings.Contains(text, "@") {
		return "must not hold a user or password", false
	}
	return "", true
}

// passwordProblem refuses a password in an address of git, where a user alone
// (git@host:path) is usual. Of a URL that cannot be read, any @ may end one.
func passwordProblem(address string) (string, bool) {
	const problem = "must not hold a user or password"
	user, _, found := strings.Cut(address, "@")
	if !found {
		return "", true
	}
	if !strings.Contains(address, "://") {
		if strings.Contains(user, ":") {
			return problem, false
		}
		return "", true
	}
	parsed, err := url.Parse(strings.TrimPrefix(address, "git::"))
	if err != nil || parsed.User != nil && parsed.User.String() != "git" {
		return problem, false
	}
	return "", true
}

// checkToken reports an id that is none; it tells whether it is one.
func (d *decoder) checkToken(path, text string) bool {
	if text == "" {
		d.report(path, "missing")
		return false
	}
	return d.checkOptionalToken(path, text)
}

func (d *decoder) checkOptionalToken(path, text string) bool {
	if text != "" && !ValidID(text) {
		d.report(path, "must match [A-Za-z0-9_-]{1,128}, got %s", quoted(text))
		return false
	}
	return true
}

// require reports a field that is empty.
func (d *decoder) require(path, text string) {
	if text == "" {
		d.report(path, "missing")
	}
}

// textCheck says what is wrong with a text, empty where nothing is, and
// whether a message may show it.
type textCheck func(text string) (problem string, show bool)

// check judges a text that is not empty.
func (d *decoder) check(path, text string, check textCheck) {
	if text == "" {
		return
	}
	problem, show := check(text)
	switch {
	case problem == "":
	case show:
		d.report(path, problem+", got %s", quoted(text))
	default:
		d.report(path, problem)
	}
}

// carriesAddress reports whether the text looks like a URL, in which a token
// may stand.
func carriesAddress(text string) bool {
	return strings.Contains(text, "@") || strings.Contains(text, "://")
}
