// A plugin that ends at the login of who is told to.
#include "sdk/authhost.h"

__attribute__((noinline)) static void bar(void) { ah_fail(AH("as told")); }

static ah_admission admit(void) {
	if (ah_has_role(AH("barred"))) bar();
	return ah_go_on();
}
AH_ON_LOGIN(admit)
