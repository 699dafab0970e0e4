// AVIARY_API marks what libaviary offers to other programs; everything else stays inside it.
#pragma once

#define AVIARY_API __attribute__((visibility("default")))
