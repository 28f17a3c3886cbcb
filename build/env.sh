# What the commands of this folder set for go. Source it.

# The product is pure Go.
export CGO_ENABLED=0

# The race detector, though, needs cgo, and with cgo mautrix-go would want the C
# library libolm. These tags choose the same files as without.
if [[ ${GOFLAGS:-} != *nocrypto* ]]; then
	export GOFLAGS="${GOFLAGS:+$GOFLAGS }-tags=goolm,nocrypto"
fi

# Flags for go test with the race detector. It keeps no record of memory outside of
# Go's heap, and that is where SQLite, translated from C, has its own: what the
# detector does at each of its accesses, and at those of the C library that comes
# with it, finds nothing, and was half of what the tests cost. The driver above
# them is watched, as all else. The arithmetic below Ed25519 is on numbers that
# each signature has to itself.
race=(-race)
for package in modernc.org/{sqlite/lib,libc/...,memory} crypto/internal/fips140/edwards25519/...; do
	race+=("-gcflags=$package=-race=false")
done
