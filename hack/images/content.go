package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"strings"
)

const certificates = "/etc/ssl/certs/ca-certificates.crt"

// Paths of the program in the package busybox-static.
var busyboxPaths = []string{"/bin/busybox", "/usr/bin/busybox"}

// baseEntries returns what programs in all images need: the certificates of public CAs, a user name
// and a folder for temporary files.
func baseEntries() ([]entry, error) {
	ca, err := os.ReadFile(certificates)
	if err != nil {
		return nil, fmt.Errorf("%w: install the package ca-certificates", err)
	}
	return []entry{
		{path: certificates[1:], mode: 0o644, data: ca},
		{path: "etc/passwd", mode: 0o644, data: fmt.Appendf(nil, "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:%[1]d:%[1]d:nonroot:/home/nonroot:/sbin/nologin\n", nonRoot)},
		{path: "etc/group", mode: 0o644, data: fmt.Appendf(nil, "root:x:0:\nnonroot:x:%d:\n", nonRoot)},
		{path: "home/nonroot", mode: 0o700, dir: true, uid: nonRoot},
		{path: "tmp", mode: 0o1777, dir: true},
	}, nil
}

// shellEntries returns busybox with a link for each of its commands.
func shellEntries(places []string) ([]entry, error) {
	place, err := staticProgram(places)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(place)
	if err != nil {
		return nil, err
	}
	list, err := exec.Command(place, "--list-full").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --list-full: %w", place, err)
	}
	entries := []entry{{path: "bin/busybox", mode: 0o755, data: data}}
	for _, applet := range strings.Fields(string(list)) {
		applet = path.Clean(strings.TrimPrefix(applet, "/"))
		if applet == "bin/busybox" {
			continue
		}
		entries = append(entries, entry{path: applet, mode: 0o777, link: "/bin/busybox"})
	}
	return entries, nil
}

// staticProgram returns the first path with a statically linked program, because the image has no
// libraries.
func staticProgram(places []string) (string, error) {
	problem := errors.New("there is none")
	for _, place := range places {
		f, err := elf.Open(place)
		if err != nil {
			continue
		}
		libraries, err := f.ImportedLibraries()
		f.Close()
		if err == nil && len(libraries) == 0 {
			return place, nil
		}
		problem = fmt.Errorf("%s is not static", place)
	}
	return "", fmt.Errorf("no static busybox in %s (%w): install the package busybox-static", strings.Join(places, ", "), problem)
}
