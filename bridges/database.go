package bridges

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"go.mau.fi/util/dbutil"
	"modernc.org/sqlite"
)

const (
	// sqliteConns is enough for readers beside the one writer that SQLite allows.
	sqliteConns = 4
	// postgresConns bounds what one bridge takes from a shared server.
	postgresConns = 8
	// busyTimeoutMS is how long a writer waits for another one, in milliseconds.
	busyTimeoutMS = 10000
)

// openDatabase opens the bridge's own SQLite file or PostgreSQL schema. Bridges do not share one: mautrix's
// cache of room state has no column for the bridge.
func openDatabase(opts Options) (*dbutil.Database, error) {
	if opts.Database == "" {
		return openSQLite(opts)
	}
	if strings.HasPrefix(opts.Database, "postgres://") || strings.HasPrefix(opts.Database, "postgresql://") {
		return openPostgres(opts)
	}
	return nil, errors.New("option Database must be a postgres:// URL or empty")
}

func openSQLite(opts Options) (*dbutil.Database, error) {
	if err := os.MkdirAll(opts.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	path := filepath.Join(opts.DataDir, "bridge-"+opts.ID+".db")
	// The file holds the tokens, so it is made before SQLite makes it with the mode of the umask.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("open the database: %w", err)
	}
	q := url.Values{"_txlock": {"immediate"}}
	for _, pragma := range []string{
		// What people wrote, and passwords said to a bot, are overwritten when they are deleted.
		"secure_delete(ON)",
		"journal_mode(WAL)", "synchronous(NORMAL)", "foreign_keys(1)", fmt.Sprintf("busy_timeout(%d)", busyTimeoutMS),
	} {
		q.Add("_pragma", pragma)
	}
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}
	db := sql.OpenDB(statementKeeper{driver: &sqlite.Driver{}, dsn: dsn.String()})
	db.SetMaxOpenConns(sqliteConns)
	db.SetMaxIdleConns(sqliteConns)
	return dbutil.NewWithDB(db, "sqlite3")
}

func openPostgres(opts Options) (*dbutil.Database, error) {
	cfg, err := pgx.ParseConfig(opts.Database)
	if err != nil {
		return nil, fmt.Errorf("option Database: %w", err)
	}
	schema := pgx.Identifier{opts.Schema}.Sanitize()
	cfg.RuntimeParams["search_path"] = schema
	db := sql.OpenDB(ownSchema{stdlib.GetConnector(*cfg)})
	db.SetMaxOpenConns(postgresConns)
	db.SetMaxIdleConns(postgresConns)
	if _, err := db.Exec("CREATE SCHEMA IF NOT EXISTS " + schema); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("create schema %s: %w", opts.Schema, err)
	}
	return dbutil.NewWithDB(db, "pgx")
}

//go:embed upgrades/*.sql
var upgradeFiles embed.FS

// hostUpgrades are the tables of this package, beside those of bridgev2 in the same database. A file that has
// shipped stays as it is.
var hostUpgrades = dbutil.BuildUpgradeTable().WithFSPath(upgradeFiles, "upgrades").Finish()

// upgradeHostTables brings host_* to the newest version, and refuses those of a newer program.
func upgradeHostTables(ctx context.Context, db *dbutil.Database) error {
	if err := db.Child("host_version", hostUpgrades, dbutil.NoopLogger).Upgrade(ctx); err != nil {
		return fmt.Errorf("upgrade the host tables: %w", err)
	}
	return nil
}

// tokens are the two secrets of an application service, and the one that addresses of files are made with.
type tokens struct{ AS, HS, Files string }

// tokenBytes of randomness are 43 characters.
const tokenBytes = 32

// loadTokens returns the stored tokens and makes them the first time.
func loadTokens(ctx context.Context, db *dbutil.Database) (t tokens, err error) {
	for name, value := range map[string]*string{"as_token": &t.AS, "hs_token": &t.HS, fileSecret: &t.Files} {
		if *value, err = loadToken(ctx, db, name); err != nil {
			return tokens{}, err
		}
	}
	return t, nil
}

// loadToken returns a stored random text and makes it the first time.
func loadToken(ctx context.Context, db *dbutil.Database, name string) (value string, err error) {
	random := make([]byte, tokenBytes)
	_, _ = rand.Read(random) // never fails: crypto/rand ends the process instead
	_, err = db.Exec(ctx, `INSERT INTO host_token (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`,
		name, base64.RawURLEncoding.EncodeToString(random))
	if err != nil {
		return "", fmt.Errorf("store a token: %w", err)
	}
	if err := db.QueryRow(ctx, `SELECT value FROM host_token WHERE name=$1`, name).Scan(&value); err != nil {
		return "", fmt.Errorf("load a token: %w", err)
	}
	return value, nil
}

// secrets are other rows beside the tokens.
type secrets struct{ db *dbutil.Database }

// Secret implements e2be.Secrets.
func (s secrets) Secret(ctx context.Context, name string) (value string, err error) {
	err = s.db.QueryRow(ctx, `SELECT value FROM host_token WHERE name=$1`, name).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	return value, err
}

// SetSecret implements e2be.Secrets.
func (s secrets) SetSecret(ctx context.Context, name, value string) error {
	_, err := s.db.Exec(ctx, `INSERT INTO host_token (name, value) VALUES ($1, $2)
		ON CONFLICT (name) DO UPDATE SET value=excluded.value`, name, value)
	return err
}
