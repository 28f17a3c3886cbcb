package account

import (
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"causeway/homeserver/store"

	"github.com/golang-jwt/jwt/v5"
	"github.com/rs/zerolog"
)

// maxJWTBytes bounds a token before anybody looks into it.
const maxJWTBytes = 16 << 10

// minJWTSecret bounds the secret of HS256 and its like from below, in bytes: what is shorter can be guessed from one token (RFC 7518,
// section 3.2).
const minJWTSecret = 32

// key returns the key that tokens are verified with.
func (c *JWTConfig) key() (any, error) {
	var (
		key any
		err error
	)
	switch c.Algorithm[:2] {
	case "HS":
		if len(c.Secret) < minJWTSecret {
			return nil, fmt.Errorf("must have at least %d bytes", minJWTSecret)
		}
		return []byte(c.Secret), nil
	case "RS", "PS":
		key, err = jwt.ParseRSAPublicKeyFromPEM([]byte(c.Secret))
	case "ES":
		key, err = jwt.ParseECPublicKeyFromPEM([]byte(c.Secret))
	default:
		if key, err = jwt.ParseEdPublicKeyFromPEM([]byte(c.Secret)); err == nil {
			key, _ = key.(ed25519.PublicKey)
		}
	}
	if err != nil {
		if block, _ := pem.Decode([]byte(c.Secret)); block == nil {
			return nil, errors.New("must be a public key in PEM")
		}
		return nil, fmt.Errorf("is no public key for %s", c.Algorithm)
	}
	return key, nil
}

// claims verifies a token and returns what it says. The algorithm is that of the configuration, whatever the token says it is.
func (c *JWTConfig) claims(token string, now time.Time) (jwt.MapClaims, error) {
	key, err := c.key()
	if err != nil {
		return nil, fmt.Errorf("jwt.secret: %w", err)
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{c.Algorithm}), jwt.WithTimeFunc(func() time.Time { return now }), jwt.WithIssuedAt(),
	}
	if c.Issuer != "" {
		options = append(options, jwt.WithIssuer(c.Issuer))
	}
	if len(c.Audiences) > 0 {
		options = append(options, jwt.WithAudience(c.Audiences...))
	}
	claims := jwt.MapClaims{}
	_, err = jwt.NewParser(options...).ParseWithClaims(token, claims, func(*jwt.Token) (any, error) { return key, nil })
	if err != nil {
		return nil, forbidden("Invalid JWT")
	}
	return claims, nil
}

func textClaim(claims jwt.MapClaims, name string) string {
	value, _ := claims[name].(string)
	return value
}

// jwtLogin takes a token that names a user in a claim, as Synapse's org.matrix.login.jwt. Whoever has no account yet gets one, where the
// configuration says so. Errors: 403 M_FORBIDDEN for whatever is wrong with the token.
func (s *Service) jwtLogin(ctx context.Context, in LoginRequest) (*store.User, error) {
	if in.Token == "" {
		return nil, forbidden("Token field for JWT is missing")
	}
	if len(in.Token) > maxJWTBytes {
		return nil, forbidden("Invalid JWT")
	}
	claims, err := s.cfg.JWT.claims(in.Token, time.UnixMilli(s.now()))
	if err != nil {
		return nil, err
	}
	userID, err := s.newUserID(lower(textClaim(claims, s.cfg.JWT.SubjectClaim)))
	if err != nil {
		return nil, forbidden("Invalid JWT")
	}
	user, err := s.user(ctx, userID)
	if err == nil && user.AppService != "" {
		return nil, forbidden("Invalid JWT")
	}
	if !errors.Is(err, store.ErrNotFound) {
		return user, err
	}
	if !s.cfg.JWT.Register || s.exclusiveTo(userID) != "" {
		return nil, forbidden("Invalid JWT")
	}
	if _, err := s.insertUser(ctx, &store.User{UserID: userID}, Device{}, true, nil); err != nil {
		return nil, err
	}
	if name := textClaim(claims, s.cfg.JWT.NameClaim); s.cfg.JWT.NameClaim != "" && name != "" {
		if err := s.SetDisplayName(ctx, userID, name); err != nil {
			zerolog.Ctx(ctx).Warn().Err(err).Stringer("user_id", userID).Msg("The name of a new user could not be taken from a JWT")
		}
	}
	return s.user(ctx, userID)
}
