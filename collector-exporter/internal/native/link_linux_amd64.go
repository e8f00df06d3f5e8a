// SPDX-License-Identifier: Apache-2.0

//go:build cgo

package native

// #cgo LDFLAGS: -L${SRCDIR}/lib/linux_amd64 -lotlp2iceberg_ffi -lgcc_s -lutil -lrt -lpthread -lm -ldl
import "C"
