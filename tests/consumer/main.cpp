// Uses the installed library the way any other program would.
#include <aviary/version.h>

#include <cstdio>
#include <cstring>

int main() {
  std::printf("aviary %s\n", aviary::version());
  return std::strcmp(aviary::version(), AVIARY_VERSION) == 0 ? 0 : 1;
}
