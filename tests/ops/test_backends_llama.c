#include "backends_run.h"
int main(void) { return 0; }
