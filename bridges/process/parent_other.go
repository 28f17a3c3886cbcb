//go:build !linux

package process

import (
	"os/exec"
	"syscall"
)

// dieWithParent leaves it to the child's standard input to tell of the parent's end. What happens at the terminal is the
// parent's affair.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
}
