package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNewClusterNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"local": true, "a": true, "two-2": true,
		"": false, "-a": false, "a-": false, "A": false, "a/b": false, "..": false,
		strings.Repeat("a", 32): true, strings.Repeat("a", 33): false,
	} {
		_, err := newCluster(options{root: t.TempDir(), name: name})
		if (err == nil) != ok {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

func TestNewClusterRefusesHiddenFolders(t *testing.T) {
	for root, ok := range map[string]bool{"/var/lib/x": false, "/run": false, "/var/library": true} {
		_, err := newCluster(options{root: root, name: "a"})
		if (err == nil) != ok {
			t.Errorf("root %s: %v", root, err)
		}
	}
}

func TestIdentityFitsAnInterface(t *testing.T) {
	root := t.TempDir()
	one, err := newCluster(options{root: root, name: "one"})
	if err != nil {
		t.Fatal(err)
	}
	two, err := newCluster(options{root: root, name: "two"})
	if err != nil {
		t.Fatal(err)
	}
	if one.id() == two.id() || len(one.id()) > 15 {
		t.Errorf("%q, %q", one.id(), two.id())
	}
}

func TestNetworksAreDisjoint(t *testing.T) {
	var seen []netip.Prefix
	for i := range blocks {
		n := network{Block: i}
		for _, p := range []netip.Prefix{netip.PrefixFrom(n.node(), 30).Masked(), n.pods(), n.services()} {
			if !n.all().Overlaps(p) || overlapping(p, seen) != nil {
				t.Errorf("block %d: %s", i, p)
			}
			seen = append(seen, p)
		}
	}
}

func TestPickNetwork(t *testing.T) {
	free, err := pickNetwork("id", nil)
	if err != nil {
		t.Fatal(err)
	}
	next, err := pickNetwork("id", []netip.Prefix{free.pods()})
	if err != nil || next.Block != (free.Block+1)%blocks {
		t.Errorf("beside a taken block: %v, %v", next, err)
	}
	if _, err := pickNetwork("id", []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}); err == nil {
		t.Error("found a block in a range that is all taken")
	}
}

func TestParseRoutes(t *testing.T) {
	table := "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n" +
		"eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n" +
		"eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n" +
		"mine\t0031D50A\t0230D50A\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"
	got := parseRoutes(table, "mine")
	if len(got) != 1 || got[0] != netip.MustParsePrefix("192.0.2.0/24") {
		t.Errorf("%v", got)
	}
}

func TestChooseNetworkKeepsWhatItHas(t *testing.T) {
	c, err := newCluster(options{root: t.TempDir(), name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.chooseNetwork()
	if err != nil {
		t.Fatal(err)
	}
	if second, err := c.chooseNetwork(); err != nil || second != first {
		t.Errorf("%v, then %v, %v", first, second, err)
	}
	if err := os.WriteFile(c.path("network.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := c.chooseNetwork(); err == nil || !strings.Contains(err.Error(), "make cluster-down") {
		t.Errorf("damaged file: %v", err)
	}
}

func TestPKI(t *testing.T) {
	c, err := newCluster(options{root: t.TempDir(), name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	n := network{Block: 3}
	if err := c.ensurePKI(n); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	ca, _ := os.ReadFile(c.pki("ca.crt"))
	roots.AppendCertsFromPEM(ca)
	for _, want := range c.certificates(n) {
		cert := readCertificate(t, c.pki(want.file+".crt"))
		usage := x509.ExtKeyUsageClientAuth
		if want.server {
			usage = x509.ExtKeyUsageServerAuth
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Errorf("%s: %v", want.file, err)
		}
		if want.server && cert.VerifyHostname(n.node().String()) != nil {
			t.Errorf("%s is not for %s", want.file, n.node())
		}
		if info, err := os.Stat(c.pki(want.file + ".key")); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s.key: %v %v", want.file, info, err)
		}
	}
	if err := c.ensurePKI(n); err != nil {
		t.Fatal(err)
	}
	if again, _ := os.ReadFile(c.pki("ca.crt")); string(again) != string(ca) {
		t.Error("created the authority again")
	}
}

func readCertificate(t *testing.T, path string) *x509.Certificate {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestIsInit(t *testing.T) {
	root := t.TempDir()
	c, _ := newCluster(options{root: root, name: "one"})
	other, _ := newCluster(options{root: root, name: "two"})
	program := []string{"/bin/cluster"}
	if !c.isInit(append(program, c.args(nodeInitArg)...)) {
		t.Error("does not know its own first process")
	}
	for _, args := range [][]string{nil, {"sh"}, append(program, c.args(nodeArg)...), append(program, other.args(nodeInitArg)...)} {
		if c.isInit(args) {
			t.Errorf("takes %q for its first process", args)
		}
	}
}

func TestStatState(t *testing.T) {
	for stat, want := range map[string]byte{
		"1 (init) S 0": 'S', "7 (a ) Z b) Z 1": 'Z', "": 0, "7 (x)": 0,
	} {
		if got := statState(stat); got != want {
			t.Errorf("%q: %c", stat, got)
		}
	}
}

func TestFindInitIgnoresAnothersProcess(t *testing.T) {
	c, _ := newCluster(options{root: t.TempDir(), name: "one"})
	// The recorded ID now belongs to another process: this one.
	if err := writeFile(c.runFile("init.pid"), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if pid := c.findInit(); pid != 0 {
		t.Errorf("mistakes process %d for its own", pid)
	}
}

func TestParseHierarchies(t *testing.T) {
	got := parseHierarchies("tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n")
	if len(got) != 2 || got[0] != (hierarchy{"/sys/fs/cgroup/cpu", false}) || got[1] != (hierarchy{"/sys/fs/cgroup/unified", true}) {
		t.Errorf("%v", got)
	}
}

func TestRemoveTree(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a")
	if err := os.MkdirAll(filepath.Join(dir, "b", "c"), 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := removeTree(dir); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("still there: %v", err)
	}
}

func TestReadyCondition(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ready := func(status, heartbeat string) string {
		return `{"status":{"conditions":[{"type":"MemoryPressure","status":"True"},
			{"type":"Ready","status":"` + status + `","reason":"NotYet","message":"no network so far","lastHeartbeatTime":"` + heartbeat + `"}]}}`
	}
	for node, want := range map[string]string{
		ready("True", "2026-01-02T03:04:05Z"):  "",
		ready("True", "2026-01-02T03:04:04Z"):  "not reported",
		ready("False", "2026-01-02T03:04:05Z"): "no network so far",
		`{}`:                                   "not reported",
		`x`:                                    "invalid",
	} {
		err := readyCondition([]byte(node), since)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", node, err)
		}
	}
}

func TestParseImages(t *testing.T) {
	got := parseImages("REF TYPE DIGEST SIZE PLATFORMS LABELS\n" +
		"a.dev/x:dev application/vnd.oci.image.manifest.v1+json sha256:11 1.4 MiB linux/amd64 io.cri-containerd.image=managed\n" +
		"a.dev/y:dev application/vnd.oci.image.manifest.v1+json sha256:22 1.4 MiB linux/amd64 -\n")
	if len(got) != 2 || got["a.dev/x:dev"] != (nodeImage{"sha256:11", true}) || got["a.dev/y:dev"] != (nodeImage{"sha256:22", false}) {
		t.Errorf("%v", got)
	}
}

func TestReadArchiveSaysWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.tar")
	if err := os.WriteFile(file, []byte("no tar"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := readArchive(file); err == nil || !strings.Contains(err.Error(), "no image archive") {
		t.Error(err)
	}
	if _, err := readIndex(strings.NewReader(`{"manifests":[{"digest":"sha256:1"}]}`)); err == nil || !strings.Contains(err.Error(), "with a name") {
		t.Error(err)
	}
	a, err := readIndex(strings.NewReader(`{"manifests":[{"digest":"sha256:1","annotations":{"io.containerd.image.name":"a.dev/x:dev"}}]}`))
	if err != nil || a != (archive{name: "a.dev/x:dev", digest: "sha256:1"}) {
		t.Errorf("%v %v", a, err)
	}
}

func TestPoll(t *testing.T) {
	tries := 0
	err := poll(context.Background(), time.Minute, func(context.Context) error {
		if tries++; tries < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || tries != 3 {
		t.Errorf("%v after %d", err, tries)
	}
	err = poll(context.Background(), time.Millisecond, func(context.Context) error { return errors.New("the reason") })
	if err == nil || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("at the limit: %v", err)
	}
	err = poll(context.Background(), time.Minute, func(context.Context) error { return stopPolling{errors.New("no use")} })
	if err == nil || err.Error() != "no use" {
		t.Errorf("stopped: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := poll(ctx, time.Minute, func(context.Context) error { return errors.New("x") }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestRestartDelayIsBounded(t *testing.T) {
	for inARow, want := range map[int]time.Duration{1: 500 * time.Millisecond, 4: 2 * time.Second, 1000: 5 * time.Second} {
		if got := restartDelay(inARow); got != want {
			t.Errorf("%d: %v", inARow, got)
		}
	}
}

func TestLastLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(file, []byte("a\nb\nc\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := lastLines(file, 2); got != "  b\n  c" {
		t.Errorf("%q", got)
	}
	if got := lastLines(file+"x", 2); !strings.Contains(got, "no log") {
		t.Errorf("%q", got)
	}
}

func TestTemplatesAreWhole(t *testing.T) {
	c, _ := newCluster(options{root: t.TempDir(), name: "a"})
	c.cni = []string{t.TempDir()}
	if err := os.WriteFile(filepath.Join(c.cni[0], "ptp"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := c.writeConfig(network{Block: 1}); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{c.etc("containerd.toml"), c.etc("kubelet.yaml"), c.etc("cni/10-ptp.conflist"), c.etc("kube-proxy.yaml"), c.etc("audit-policy.yaml"), c.kubeconfig()} {
		data, err := os.ReadFile(file)
		if err != nil || len(data) == 0 || strings.Contains(string(data), "<no value>") {
			t.Errorf("%s: %v", file, err)
		}
	}
	if info, err := os.Stat(c.kubeconfig()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("kubeconfig: %v", err)
	}
}

func TestCommandLine(t *testing.T) {
	for _, args := range [][]string{{}, {"help"}, {"sideways"}, {"up", "extra"}, {"status", "--nosuch"}, {nodeInitArg}, {"up", "--name=A"}} {
		if err := run(context.Background(), args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
	for _, command := range []string{"kubeconfig", "audit-log"} {
		err := run(context.Background(), []string{command, "--root=" + t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "make cluster-up") {
			t.Errorf("%s of no cluster: %v", command, err)
		}
	}
}
