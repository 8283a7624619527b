package rig

import (
	"os/exec"
	"testing"
)

func TestProcessesBelow_areThoseThatNameTheFolder(t *testing.T) {
	dir := t.TempDir()
	start := func(argument string) (pid int) {
		cmd := exec.Command("/bin/sh", "-c", "echo; read x", "local-server", argument)
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
		if _, err := out.Read(make([]byte, 1)); err != nil { // it is the shell by now
			t.Fatal(err)
		}
		return cmd.Process.Pid
	}
	want := map[int]bool{start(dir): true, start("--data=" + dir + "/orchestrator"): true}
	start(dir + "-of-another")
	found, err := ProcessesBelow(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range found {
		if !want[p.PID] || p.LocalServer() {
			t.Errorf("found %+v, want one of %v, which are shells", p, want)
		}
		delete(want, p.PID)
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}
