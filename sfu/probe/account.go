package probe

import (
	"context"
	"errors"
	"net/http"
	"net/url"
)

const clientAPI = "/_matrix/client/v3"

// deviceName is what the session of a test is called among the devices of the account.
const deviceName = "causeway doctor calls"

// login takes the account. Without any it is false.
func (r *run) login(ctx context.Context) bool {
	if r.Token == "" && r.User == "" {
		r.skip("login", "Nobody is signed in: give --user, or --token, to have tokens, signalling and media tested, too.")
		return false
	}
	if r.Token != "" {
		return r.whoAmI(ctx)
	}
	a, err := r.ask(ctx, http.MethodPost, r.at(clientAPI+"/login"), "", map[string]any{
		"type": "m.login.password", "identifier": map[string]string{"type": "m.id.user", "user": r.User}, "password": r.Password,
		"initial_device_display_name": deviceName,
	})
	var in struct {
		Token  string `json:"access_token"`
		User   string `json:"user_id"`
		Device string `json:"device_id"`
	}
	if err == nil {
		err = a.decode(&in)
	}
	switch {
	case statusOf(err) == http.StatusForbidden:
		r.fail("login", "Look at the name and the password.", "%s cannot sign in: %v.", r.User, err)
		return false
	case err != nil:
		r.fail("login", "Give --token in the place of --user and --password, if accounts have no passwords here.", "%s cannot sign in: %s.", r.User, words(err))
		return false
	}
	r.token, r.user, r.device, r.own = in.Token, in.User, in.Device, true
	r.ok("login", "%s is signed in.", r.user)
	return true
}

// whoAmI takes the account whose access token is given.
func (r *run) whoAmI(ctx context.Context) bool {
	a, err := r.ask(ctx, http.MethodGet, r.at(clientAPI+"/account/whoami"), r.Token, nil)
	var who struct {
		User   string `json:"user_id"`
		Device string `json:"device_id"`
	}
	if err == nil {
		err = a.decode(&who)
	}
	switch {
	case statusOf(err) == http.StatusUnauthorized:
		r.fail("login", "Take an access token from a session that is signed in, or give --user and --password.",
			"The access token has expired, or is of another server: %v.", err)
		return false
	case err != nil:
		r.fail("login", "Look into the log of the server.", "The access token cannot be used: %s.", words(err))
		return false
	case who.Device == "":
		r.fail("login", "Take the access token of a client.", "The access token is of no device, and only devices can be in calls.")
		return false
	}
	r.token, r.user, r.device = r.Token, who.User, who.Device
	r.ok("login", "The access token is that of %s.", r.user)
	return true
}

// makeRoom makes a room for the test, in which nobody else is.
func (r *run) makeRoom(ctx context.Context) bool {
	a, err := r.ask(ctx, http.MethodPost, r.at(clientAPI+"/createRoom"), r.token, map[string]any{"preset": "private_chat", "name": "Test of calls"})
	var made struct {
		Room string `json:"room_id"`
	}
	if err == nil {
		err = a.decode(&made)
	}
	if err != nil {
		r.fail("room", "Take an account that may make rooms.", "%s cannot make a room to test calls in: %s.", r.user, words(err))
		return false
	}
	r.room = made.Room
	r.ok("room", "A private room was made for the test.")
	return true
}

// tidy leaves the room and forgets it, and signs out what was signed in.
func (r *run) tidy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyWithin)
	defer cancel()
	var errs []error
	post := func(path string) {
		a, err := r.ask(ctx, http.MethodPost, r.at(clientAPI+path), r.token, struct{}{})
		if err == nil {
			err = a.decode(&struct{}{})
		}
		errs = append(errs, err)
	}
	if r.room != "" {
		at := "/rooms/" + url.PathEscape(r.room)
		post(at + "/leave")
		post(at + "/forget")
	}
	if r.own {
		post("/logout")
	}
	if err := errors.Join(errs...); err != nil {
		r.warn("tidy", "Leave the room “Test of calls”, and sign the device “"+deviceName+"” out.", "What the test made could not be taken away: %s.", words(err))
	}
}
