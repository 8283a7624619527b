package zzdeps
import (
_ "github.com/pquerna/otp"
_ "github.com/pquerna/otp/hotp"
_ "github.com/pquerna/otp/totp"
_ "golang.org/x/crypto/argon2"
_ "github.com/spf13/cobra"
_ "golang.org/x/text/unicode/norm"
_ "golang.org/x/sync/errgroup"
_ "golang.org/x/sys/unix"
)
