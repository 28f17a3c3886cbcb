package process

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the child when the parent ends, however it does. What happens at the terminal is the
// parent's affair: it tells the child.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
