package holder

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
)

// ErrForeign tells that the other end, or the folder of the socket, is not our user's alone.
var ErrForeign = errors.New("not of this user alone")

func samePeer(theirs, ours int) error {
	if theirs != ours {
		return fmt.Errorf("the process at the other end is of user %d, and this one of %d: %w", theirs, ours, ErrForeign)
	}
	return nil
}

// openFolders is what a folder must not let others do.
const openFolders = 0o022

// checkFolder refuses a folder in which others could put their own socket.
func checkFolder(path string) error {
	dir := filepath.Dir(path)
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if mode := info.Mode(); mode.Perm()&openFolders != 0 {
		return fmt.Errorf("the folder %s can be written to by others (mode %04o): %w", dir, mode.Perm(), ErrForeign)
	}
	return nil
}

// listen opens the socket for its owner alone. One that is there already is what an ended process left behind: the
// caller has the lock.
func listen(path string) (*net.UnixListener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove an old socket: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("open the socket %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect the socket: %w", err), l.Close())
	}
	return l, nil
}
