package sso

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// PageError is an error that somebody is to be told of, with its cause for the log.
type PageError struct {
	Status  int
	Message string
	// For is what they came for who were on the way to a provider or back, nil where that is not known.
	For   *Purpose
	cause error
}

// of adds to an error what somebody came for.
func (why Purpose) of(err error) error {
	shown, ok := errors.AsType[*PageError](err)
	if !ok {
		return err
	}
	with := *shown // the same error may be shown to several
	with.For = &why
	return &with
}

// Error implements error.
func (e *PageError) Error() string {
	if e.cause == nil {
		return e.Message
	}
	return fmt.Sprintf("%s (%.*v)", strings.TrimSuffix(e.Message, "."), maxCause, e.cause) // a provider's whole answer may be in it
}

// Unwrap returns the cause.
func (e *PageError) Unwrap() error { return e.cause }

// errStale is the error of what was not begun in this browser, or not just now.
func errStale(format string, args ...any) error {
	return &PageError{Status: http.StatusForbidden, cause: fmt.Errorf(format, args...),
		Message: "This sign-in was not begun in this browser, has been used already, or took too long. Go back to where you began, and try once more. Your browser must accept cookies from this site."}
}

// Stale is the error of what has served already.
func Stale() error { return errStale("it has served already") }
