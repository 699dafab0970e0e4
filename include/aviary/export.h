// AVIARY_API marks the symbols that libaviary exports; all others are hidden.
#pragma once

#define AVIARY_API __attribute__((visibility("default")))
