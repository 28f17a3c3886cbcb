# What the commands of this folder set for go. Source it.

# The product is pure Go.
export CGO_ENABLED=0

# The race detector, though, needs cgo, and with cgo mautrix-go would want the C
# library libolm. These tags choose the same files as without.
if [[ ${GOFLAGS:-} != *nocrypto* ]]; then
	export GOFLAGS="${GOFLAGS:+$GOFLAGS }-tags=goolm,nocrypto"
fi
