/* copyup: builds a Dockerfile without privilege and pushes the image. See pkg/README.md for the map. */
#include "base/err.h"
#include "sandbox/sandbox.h"
#include "settings/settings.h"

int main(void)
{
    return 0;
}
