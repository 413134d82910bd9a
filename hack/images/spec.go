package main

// A spec defines the content of an image.
type spec struct {
	name string
	// programs are packages of the repository, each built to /NAME.
	programs []string
	// base adds certificates, a user and /tmp.
	base bool
	// shell adds busybox with a link for each of its commands.
	shell      bool
	entrypoint []string
	command    []string
}

// The user of every image: the number of the user "nonroot" in distroless images, which policies of
// many clusters expect.
const nonRoot = 65532

// imagePrefix and imageTag form names that no registry serves, so that an image is never pulled by
// mistake.
const (
	imagePrefix = "pipelinejob.dev/"
	imageTag    = "dev"
)

func (s spec) ref() string { return imagePrefix + s.name + ":" + imageTag }

var specs = []spec{
	{name: "operator", base: true, programs: []string{"./cmd/manager", "./cmd/runner", "./cmd/step"}, entrypoint: []string{"/manager"}},
	{name: "codepipeline-emulator", base: true, programs: []string{"./cmd/codepipeline-emulator"}, entrypoint: []string{"/codepipeline-emulator"}},
	{name: "sample-work", base: true, shell: true, command: []string{"/bin/sh"}},
	{name: "pause", programs: []string{"./hack/pause"}, entrypoint: []string{"/pause"}},
}

func names() []string {
	var list []string
	for _, s := range specs {
		list = append(list, s.name)
	}
	return list
}
