"""Graphics cards, by Vulkan, which is loaded when it is asked for and never before."""
